"""Augmentation: one affine and elastic warp, drawn once per small group of images.

On a CPU by albumentations, group by group; on a GPU for all images of an epoch at once.
"""

import random
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from digit_recognizer.training.recipe import Recipe

SIDE = 28  # pixels of an image
MIDDLE = (SIDE - 1) / 2
PIXEL_POSITIONS = np.mgrid[:SIDE, :SIDE][::-1].reshape(2, -1) - MIDDLE  # [2, 784]: x, y
ELASTIC_SIGMA = 4.0  # pixels; the width of the Gaussian that smooths the displacement field
N_AFFINE = 7  # random numbers of an affine map: shifts, shears, scales, rotation
SMOOTHING = np.exp(-0.5 * (np.subtract.outer(range(SIDE), range(SIDE)) / ELASTIC_SIGMA) ** 2)
SMOOTHING /= np.linalg.norm(SMOOTHING, axis=1, keepdims=True)  # [28, 28]; keeps noise's variance
N_DRAWS = N_AFFINE + 2 * SIDE * SIDE  # of a warp: and two displacements of each pixel


def build_transform(recipe: Recipe) -> A.Compose:
    """Return the recipe's warp, or an empty Compose if all strengths and the crop are zero."""
    strengths = (recipe.rotation, recipe.zoom, recipe.shift, recipe.shear, recipe.elastic)
    return A.Compose([Warp(recipe)] if any((*strengths, recipe.crop)) else [])


class Warp(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations has no types
    """Crop, affine and elastic distortion of a 28x28 image in one interpolation.

    albumentations' Affine and ElasticTransform, one after the other, blur twice, and Affine
    (2.0.8) truncates shifts to whole pixels: EXPERIMENTS.md compares.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(p=1.0)
        self.recipe = recipe

    def get_params(self) -> dict[str, Any]:
        """Draw the warp of a group of images."""
        return {"sources": source_pixels(self.recipe, draw_warps(self.random_generator, 1))[0]}

    def apply(
        self, img: NDArray[np.uint8], sources: NDArray[np.float32], **params: Any
    ) -> NDArray[np.uint8]:
        """Warp an image, [28, 28] or [28, 28, 1]; what lies outside of it is black."""
        warped: NDArray[np.uint8] = cv2.remap(img, sources[0], sources[1], cv2.INTER_LINEAR)
        return warped.reshape(img.shape)  # OpenCV drops a single channel


def draw_warps(rng: np.random.Generator, n_warps: int) -> NDArray[np.float32]:
    """Draw the random numbers of `n_warps` warps, uniform on [-1, 1), [n_warps, N_DRAWS].

    One call for many warps returns the same numbers as one call for each.
    """
    return 2 * rng.random((n_warps, N_DRAWS), dtype=np.float32) - 1


def source_pixels(recipe: Recipe, draws: Any) -> Any:
    """Return where in the image each pixel of the warped image comes from, by `draw_warps`.

    These are columns (x) and rows (y) in pixels, [W, 2, 28, 28]: an array, or a tensor on the
    device of the draws. A crop that is resized equals a scaling and a translation.
    """
    xp = torch if isinstance(draws, Tensor) else np
    enlarged = SIDE / recipe.crop if recipe.crop else 1.0
    shift = draws[:, 0:2, None] * (recipe.shift + SIDE * (enlarged - 1) / 2)  # [W, 2, 1]
    shear_x, shear_y = xp.tan(draws[:, 2:4] * np.deg2rad(recipe.shear)).T
    scale = enlarged * (1 + recipe.zoom * draws[:, 4:6, None])
    angle = draws[:, 6] * np.deg2rad(recipe.rotation)
    one, cos, sin = xp.ones_like(angle), xp.cos(angle), xp.sin(angle)
    rotation, shear = [cos, -sin, sin, cos], [one, shear_x, shear_y, one]
    matrix = xp.stack(rotation, 1).reshape(-1, 2, 2) @ xp.stack(shear, 1).reshape(-1, 2, 2)
    sources = matrix @ (_constant(PIXEL_POSITIONS, draws) - shift) / scale + MIDDLE  # [W, 2, 784]
    sources = sources.reshape(-1, 2, SIDE, SIDE)
    if recipe.elastic:
        # Uniform noise on [-1, 1), of variance 1/3; the smoothing keeps it.
        smoothing = 3**0.5 * _constant(SMOOTHING, draws)
        noise = draws[:, N_AFFINE:].reshape(sources.shape)
        smooth = smoothing @ noise @ _constant(SMOOTHING.T, draws)
        sources = sources + recipe.elastic * xp.asarray(smooth, dtype=draws.dtype)
    return xp.asarray(sources, dtype=draws.dtype)


def _constant(array: NDArray[np.float64], draws: Any) -> Any:
    """Return `array` as a tensor on the device of the draws, unless these are an array too."""
    if isinstance(draws, np.ndarray):
        return array
    return torch.from_numpy(array).to(draws.dtype).to(draws.device)


def augment(
    images: NDArray[np.uint8], transform: A.Compose, group_size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return images [N, 28, 28] augmented; `group_size` images in a row get the same draw.

    A draw takes eight times as long as the warp of an image, so groups of 16 make it about six
    times as fast. In a shuffled epoch the groups differ every time. Global generators are neither
    used nor changed.
    """
    if not transform.transforms:
        return images.copy()
    # Compose(seed=...) would give each transform the same seed, which correlates them.
    transform.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    result = np.empty_like(images)
    for start in range(0, len(images), group_size):
        group = images[start : start + group_size, :, :, None]  # [G, 28, 28, 1]
        result[start : start + group_size] = transform(images=group)["images"][..., 0]
    return result


def augment_on_device(
    images: NDArray[np.uint8], recipe: Recipe, rng: np.random.Generator, device: str
) -> Tensor:
    """Return what `augment` returns, up to one grey level of rounding, as a tensor on `device`."""
    rng.integers(2**63)  # the seed that `augment` draws for albumentations
    n_images, group_size = len(images), recipe.group_size
    n_warps = -(-n_images // group_size)
    draws = draw_warps(rng, n_warps)[:, : N_DRAWS if recipe.elastic else N_AFFINE]
    sources = source_pixels(recipe, torch.from_numpy(draws).to(device))
    n_missing = n_warps * group_size - n_images  # in the last group
    x = F.pad(torch.from_numpy(images).to(device).float(), (0, 0, 0, 0, 0, n_missing))
    x = x.view(n_warps, group_size, SIDE, SIDE)  # images as channels
    grid = (sources.permute(0, 2, 3, 1) * 2 + 1) / SIDE - 1  # the image is -1 to 1
    x = F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)  # black outside
    return x.round_().to(torch.uint8).view(-1, SIDE, SIDE)[:n_images]
