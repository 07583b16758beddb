"""From images to logits, with test-time augmentation."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.recipe import Recipe

# What is taken from pixels on a scale of 0 to 1, and what they are divided by.
SCALES = {
    "mnist": (0.1307, 0.3081),  # mean and standard deviation of MNIST's pixels
    "half": (0.5, 0.5),
    "unit": (0.0, 1.0),
}
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # the views: (rows, columns) in pixels
# An image whose likeliest class is at least this probable is not looked at again: of 42,000 rows,
# 5 % are less sure, and the errors are those of five views of each, for a quarter of the passes.
SURE = 0.97
CHUNK, CHUNK_OF_CPU = 1000, 128  # on a core, 128 images fit its cache: 1.2 times as many a second
SMALLEST_CHUNK = 16


class OutOfMemoryError(RuntimeError):
    """The device cannot hold even a small chunk of images."""


def prepare(images: Tensor, placement: Placement, scaling: str) -> Tensor:
    """Scale images [B, 28, 28] of 0 to 255 to float32 [B, 1, 28, 28] as networks take them.

    Parameters
    ----------
    scaling : a key of `SCALES`, or ``image`` for each image's own mean and deviation
    """
    x = images.to(torch.float32).unsqueeze(1) / 255
    if scaling == "image":
        spread = x.std((2, 3), correction=0, keepdim=True)
        x = (x - x.mean((2, 3), keepdim=True)) / spread.clamp(min=1 / 255)  # one may be black
    else:
        mean, deviation = SCALES[scaling]
        x = (x - mean) / deviation
    return x.contiguous(memory_format=placement.memory_format)


def centre_crop(images: Tensor, side: int) -> Tensor:
    """The middle of images [B, 28, 28], `side` pixels wide and high, resized to float32 of 28x28.

    What training with the same crop sees on average; 0 takes the whole image.
    """
    if not side:
        return images
    start = (images.shape[-1] - side) // 2
    middle = images[:, None, start : start + side, start : start + side].to(torch.float32)
    return F.interpolate(middle, size=images.shape[-2:], mode="bilinear")[:, 0]


def shifted(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images [B, 28, 28] moved down and right by -1, 0 or 1 pixels, black where nothing was."""
    size = images.shape[-1]
    padded = F.pad(images, (1, 1, 1, 1))
    return padded[:, 1 - rows : 1 - rows + size, 1 - columns : 1 - columns + size]


def views(images: Tensor, recipe: Recipe) -> list[Tensor]:
    """What test-time augmentation looks at: each [B, 28, 28], the images as they are first."""
    return [centre_crop(shifted(images, *shift), recipe.crop) for shift in SHIFTS[: recipe.tta]]


def drawn_views(image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    """The views [tta, 28, 28] of one image [28, 28], to look at."""
    stack = torch.cat(views(torch.from_numpy(image)[None], recipe))
    return stack.to(torch.float32).round().clamp(0, 255).to(torch.uint8).numpy()


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: NDArray[np.uint8],
    recipe: Recipe,
    placement: Placement,
    chunk: int | None = None,
) -> NDArray[np.float32]:
    """Logits of each image, or their mean over its views where the image alone leaves doubt.

    Parameters
    ----------
    network : already on ``placement.device``
    images : array, shape [N, 28, 28], uint8
    recipe : that of the run: its `tta` (how many of `SHIFTS` are averaged), `scaling` and `crop`
    placement : device and precision
    chunk : images at a time, as suits the device; halved when the GPU's memory does not suffice

    Returns
    -------
    array, shape [N, 10], float32

    Raises
    ------
    OutOfMemoryError
        If even `SMALLEST_CHUNK` images do not fit.
    """
    network.eval()
    logits = _in_chunks(network, images, replace(recipe, tta=1), placement, chunk)
    if recipe.tta > 1:
        unsure = np.flatnonzero(~is_sure(torch.from_numpy(logits)).numpy())
        logits[unsure] = _in_chunks(network, images[unsure], recipe, placement, chunk)
    return logits


def is_sure(logits: Tensor) -> Tensor:
    """Whether logits [N, 10] of the images as they are need no second look: [N] bool."""
    return logits.softmax(1).amax(1) >= SURE


def _in_chunks(
    network: nn.Module,
    images: NDArray[np.uint8],
    recipe: Recipe,
    placement: Placement,
    chunk: int | None,
) -> NDArray[np.float32]:
    chunk = chunk or (CHUNK_OF_CPU if placement.device == "cpu" else CHUNK)
    done: list[NDArray[np.float32]] = [np.empty((0, 10), dtype=np.float32)]
    start = 0
    while start < len(images):
        batch = torch.from_numpy(images[start : start + chunk])
        try:
            done.append(_mean_over_views(network, batch.to(placement.device), recipe, placement))
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
    network: nn.Module, images: Tensor, recipe: Recipe, placement: Placement
) -> NDArray[np.float32]:
    with placement.autocast():
        logits = [
            network(prepare(view, placement, recipe.scaling)).float()
            for view in views(images, recipe)
        ]
    return torch.stack(logits).mean(0).cpu().numpy()
