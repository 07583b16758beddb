"""From images to logits, with test-time augmentation."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.learning.device import Placement

MEAN, STD = 0.1307, 0.3081  # of MNIST's pixels, on a scale of 0 to 1
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # the views: (rows, columns) in pixels
SMALLEST_CHUNK = 16


class OutOfMemoryError(RuntimeError):
    """The device cannot hold even a small chunk of images."""


def prepare(images: Tensor, placement: Placement) -> Tensor:
    """Standardise uint8 images [B, 28, 28] to float32 [B, 1, 28, 28] as networks take them."""
    x = (images.to(torch.float32).unsqueeze(1) / 255 - MEAN) / STD
    return x.contiguous(memory_format=placement.memory_format)


def shifted(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images [B, 28, 28] moved down and right by whole pixels, black where nothing was."""
    size = images.shape[-1]
    padded = F.pad(images, (1, 1, 1, 1))
    return padded[:, 1 - rows : 1 - rows + size, 1 - columns : 1 - columns + size]


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: NDArray[np.uint8],
    tta: int,
    placement: Placement,
    chunk: int = 1000,
) -> NDArray[np.float32]:
    """Mean logits over the views of each image.

    Parameters
    ----------
    network : already on ``placement.device``
    images : array, shape [N, 28, 28], uint8
    tta : how many of `SHIFTS` are averaged
    placement : device and precision
    chunk : images at a time; halved when the GPU's memory does not suffice

    Returns
    -------
    array, shape [N, 10], float32

    Raises
    ------
    OutOfMemoryError
        If even `SMALLEST_CHUNK` images do not fit.
    """
    network.eval()
    done: list[NDArray[np.float32]] = [np.empty((0, 10), dtype=np.float32)]
    start = 0
    while start < len(images):
        batch = torch.from_numpy(images[start : start + chunk])
        try:
            done.append(_mean_over_views(network, batch.to(placement.device), tta, placement))
        except torch.OutOfMemoryError:
            chunk //= 2
            if chunk < SMALLEST_CHUNK:
                raise OutOfMemoryError(
                    f"{placement.device} has too little free memory for {SMALLEST_CHUNK} images:"
                    " close other programs that use it, or give --device cpu"
                ) from None
            continue
        start += len(batch)
    return np.concatenate(done)


def _mean_over_views(
    network: nn.Module, images: Tensor, tta: int, placement: Placement
) -> NDArray[np.float32]:
    with placement.autocast():
        views = [network(prepare(shifted(images, *s), placement)).float() for s in SHIFTS[:tta]]
    return torch.stack(views).mean(0).cpu().numpy()
