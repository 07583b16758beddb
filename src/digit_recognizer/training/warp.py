"""The augmentation on a GPU: the CPU's draws, and one interpolation for all images of an epoch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from digit_recognizer.training.augment import draw_warps, source_pixels
from digit_recognizer.training.recipe import Recipe


def augment_on_device(
    images: NDArray[np.uint8], recipe: Recipe, rng: np.random.Generator, device: str
) -> Tensor:
    """Return what `augment` returns, up to a grey level by rounding, as a tensor on `device`.

    Parameters
    ----------
    images : array, shape [N, 28, 28], uint8
    rng : source of the draws, in the state in which `augment` would get it
    """
    rng.integers(2**63)  # the seed that `augment` draws for albumentations
    n_warps = -(-len(images) // recipe.group_size)
    sources = torch.from_numpy(source_pixels(recipe, draw_warps(rng, n_warps)))
    return warp(torch.from_numpy(images).to(device), sources.to(device), recipe.group_size)


def warp(images: Tensor, sources: Tensor, group_size: int) -> Tensor:
    """Warp images [N, 28, 28] uint8, every `group_size` in a row by the same of the sources.

    Parameters
    ----------
    sources : float32 [W, 2, 28, 28], of `source_pixels`; what lies outside of an image is black
    """
    n_missing = len(sources) * group_size - len(images)  # in the last group
    x = F.pad(images.float(), (0, 0, 0, 0, 0, n_missing))
    x = x.view(len(sources), group_size, *images.shape[1:])  # images as channels
    grid = (sources.permute(0, 2, 3, 1) * 2 + 1) / images.shape[-1] - 1  # the image is -1 to 1
    x = F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
    return x.round_().to(torch.uint8).view(-1, *images.shape[1:])[: len(images)]
