"""The augmentation policy, by albumentations, drawn once per small group of images."""

import math
import os
import random

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.randomness import Purpose, stream
from digit_recognizer.learning.recipe import Recipe

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for updates otherwise
import albumentations as A
import cv2

SIDE = 28  # pixels of an image
DRAWS = 11  # to look at, of each digit
ELASTIC_SIGMA = 4.0  # pixels; the width of the Gaussian that smooths the displacement field


def build_policy(recipe: Recipe) -> A.Compose:
    """Crop, affine and elastic distortion as the recipe asks; nothing for strengths of zero.

    A crop that is resized is an enlargement and a shift: one warp does both, and blurs once.
    """
    transforms: list[A.BasicTransform] = []
    enlarged = SIDE / recipe.crop if recipe.crop else 1.0
    shift = recipe.shift + SIDE * (enlarged - 1) / 2
    if recipe.rotation or recipe.zoom or shift or recipe.shear:
        transforms.append(
            A.Affine(
                rotate=(-recipe.rotation, recipe.rotation),
                scale=(enlarged * (1 - recipe.zoom), enlarged * (1 + recipe.zoom)),
                # As a share of the size, because translate_px takes whole pixels only.
                translate_percent=(-shift / SIDE, shift / SIDE),
                shear=(-recipe.shear, recipe.shear),
                p=1.0,
            )
        )
    if recipe.elastic:
        alpha = elastic_alpha(recipe.elastic)
        # albumentations' default, "gaussian", divides each field by its own maximum, which
        # leaves about half of the strength asked for, more or less by chance.
        transforms.append(
            A.ElasticTransform(
                alpha=alpha, sigma=ELASTIC_SIGMA, noise_distribution="uniform", p=1.0
            )
        )
    return A.Compose(transforms)


def elastic_alpha(rms: float) -> float:
    """albumentations' alpha for a displacement of `rms` pixels along each axis.

    The field is noise, uniform on [-1, 1] (variance 1/3), smoothed by a Gaussian of width
    sigma, which leaves a variance of 1 / (3 * 4 * pi * sigma**2).
    """
    return rms * math.sqrt(3 * 4 * math.pi) * ELASTIC_SIGMA


def augment(
    images: NDArray[np.uint8],
    policy: A.Compose,
    group_size: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Distort every image; `group_size` images in a row share one draw.

    albumentations costs about the same for one 28x28 image as for sixteen, so groups make
    it some ten times faster. In a shuffled epoch the groups are new every time.

    Parameters
    ----------
    images : array, shape [N, 28, 28], uint8
    policy : from `build_policy`
    group_size : images that share a draw
    rng : where the draws come from; the global generators are not touched

    Returns
    -------
    array, shape [N, 28, 28], uint8, newly allocated
    """
    if not policy.transforms:
        return images.copy()
    # Compose(seed=...) would give each transform the same seed, which correlates them.
    policy.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    result = np.empty_like(images)
    for start in range(0, len(images), group_size):
        group = images[start : start + group_size, :, :, None]  # [G, 28, 28, 1]
        result[start : start + group_size] = policy(images=group)["images"][..., 0]
    return result


def augmented_digits(
    recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The first image of each digit as it is, and draws of the recipe's policy.

    Parameters
    ----------
    images : array, shape [N, 28, 28], uint8
    labels : array, shape [N]

    Returns
    -------
    array, shape [10, 1 + DRAWS, 28, 28], uint8
    """
    firsts = images[[int(np.argmax(labels == digit)) for digit in range(10)]]
    rng = stream(recipe.seed, Purpose.AUGMENT, 0, 0)
    drawn = augment(np.repeat(firsts, DRAWS, axis=0), build_policy(recipe), 1, rng)
    return np.concatenate([firsts[:, None], drawn.reshape(10, DRAWS, 28, 28)], axis=1)


def use_one_thread() -> None:
    """Keep OpenCV from starting threads beside those of the members."""
    cv2.setNumThreads(0)
