"""Augmentation by albumentations, drawn once per small group of images."""

import math
import random

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.rng import RngPurpose, make_rng

SIDE = 28  # pixels of an image
N_EXAMPLES = 11  # draws for each digit in `augmentation_examples`
ELASTIC_SIGMA = 4.0  # pixels; the width of the Gaussian that smooths the displacement field


def build_transform(recipe: Recipe) -> A.Compose:
    """Return the recipe's crop, affine and elastic distortion; strengths of zero add nothing.

    A crop that is resized equals a scaling and a translation. One warp does both, so the image
    is interpolated once.
    """
    transforms: list[A.BasicTransform] = []
    enlarged = SIDE / recipe.crop if recipe.crop else 1.0
    shift = recipe.shift + SIDE * (enlarged - 1) / 2
    if recipe.rotation or recipe.zoom or shift or recipe.shear:
        transforms.append(
            A.Affine(
                rotate=(-recipe.rotation, recipe.rotation),
                scale=(enlarged * (1 - recipe.zoom), enlarged * (1 + recipe.zoom)),
                # albumentations 2.0.8 draws evenly from this range and truncates to whole pixels:
                # a shift of 2 moves by -1, 0 or 1 pixels, with probabilities 1/4, 1/2 and 1/4.
                translate_percent=(-shift / SIDE, shift / SIDE),
                shear=(-recipe.shear, recipe.shear),
                p=1.0,
            )
        )
    if recipe.elastic:
        # The field is noise, uniform on [-1, 1] (variance 1/3), smoothed by a Gaussian of width
        # sigma, which leaves a variance of 1 / (3 * 4 * pi * sigma**2).
        alpha = recipe.elastic * math.sqrt(3 * 4 * math.pi) * ELASTIC_SIGMA
        # albumentations' default noise, "gaussian", divides each field by its own maximum, which
        # leaves about half of the strength asked for, and how much varies from draw to draw.
        transforms.append(
            A.ElasticTransform(alpha, ELASTIC_SIGMA, noise_distribution="uniform", p=1.0)
        )
    return A.Compose(transforms)


def augment(
    images: NDArray[np.uint8], transform: A.Compose, group_size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Distort every image; `group_size` images in a row get the same draw.

    albumentations takes about as long for one 28x28 image as for sixteen, so groups make it some
    ten times faster. In a shuffled epoch the groups differ every time.

    Parameters
    ----------
    images : array, shape [N, 28, 28], uint8
    rng : source of the draws; global generators are neither used nor changed

    Returns
    -------
    array, shape [N, 28, 28], uint8, newly allocated
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


def augmentation_examples(
    recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return the first image of each digit, unchanged and augmented: [10, 1 + N_EXAMPLES, 28, 28].

    `images` [N, 28, 28] and the result are uint8; `labels` are [N].
    """
    firsts = images[[int(np.argmax(labels == digit)) for digit in range(10)]]
    rng = make_rng(recipe.seed, RngPurpose.AUGMENT, 0, 0)
    drawn = augment(np.repeat(firsts, N_EXAMPLES, axis=0), build_transform(recipe), 1, rng)
    return np.concatenate([firsts[:, None], drawn.reshape(10, N_EXAMPLES, 28, 28)], axis=1)
