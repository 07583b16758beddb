from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.training.augment import augment, build_transform, draw_warps, source_pixels
from digit_recognizer.training.recipe import Recipe

STILL = replace(Recipe(), rotation=0.0, zoom=0.0, shift=0.0, shear=0.0, elastic=0.0)


def blobs(n: int) -> np.ndarray:
    images = np.zeros((n, 28, 28), dtype=np.uint8)
    images[:, 8:20, 10:18] = np.arange(n, dtype=np.uint8)[:, None, None] % 100 + 100
    return images


def distort(images: np.ndarray, recipe: Recipe, group_size: int = 1, seed: int = 0) -> np.ndarray:
    return augment(images, build_transform(recipe), group_size, np.random.default_rng(seed))


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 2**63))
def test_zero_strength_is_the_identity(n: int, group_size: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    result = distort(images, STILL, group_size, seed)
    assert (result == images).all()
    assert result is not images


def test_the_same_seed_draws_the_same_and_another_draws_differently() -> None:
    first, again, other = (distort(blobs(32), Recipe(), 16, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_global_seeds_neither_matter_nor_move() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = distort(blobs(16), Recipe(), 4, 5)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(1)
    assert (distort(blobs(16), Recipe(), 4, 5) == first).all()


def test_images_of_a_group_share_a_draw_and_groups_do_not() -> None:
    same = np.repeat(blobs(1), 32, axis=0)
    result = distort(same, Recipe(), 16)
    assert (result[:16] == result[0]).all()
    assert (result[16:] == result[16]).all()
    assert (result[0] != result[16]).any()


def test_transforms_of_a_recipe_are_not_correlated() -> None:
    """Compose(seed=...) gives rotation and shift the same seed; ours must not."""
    moved = distort(np.repeat(blobs(1), 400, axis=0), replace(STILL, shift=4.0)).astype(float)
    total = moved.sum(axis=(1, 2))
    rows = (moved.sum(axis=2) * np.arange(28)).sum(axis=1) / total
    columns = (moved.sum(axis=1) * np.arange(28)).sum(axis=1) / total
    assert rows.std() > 1.5
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.15


def test_shifts_are_even_up_to_the_strength_and_not_of_whole_pixels() -> None:
    moved = distort(np.repeat(blobs(1), 2000, axis=0), replace(STILL, shift=1.5)).astype(float)
    rows = (moved.sum(axis=2) * np.arange(28)).sum(axis=1) / moved.sum(axis=(1, 2)) - 13.5
    assert -1.6 < rows.min() < -1.4
    assert 1.4 < rows.max() < 1.6
    assert abs(rows.std() - 1.5 / 3**0.5) < 0.05
    assert np.ptp(np.histogram(rows, 6, (-1.5, 1.5))[0]) < 100


@given(st.integers(1, 20), st.integers(0, 2**63))
def test_warps_drawn_at_once_are_those_drawn_one_by_one(n_warps: int, seed: int) -> None:
    at_once = draw_warps(np.random.default_rng(seed), n_warps)
    rng = np.random.default_rng(seed)
    one_by_one = np.concatenate([draw_warps(rng, 1) for _ in range(n_warps)])
    assert (at_once == one_by_one).all()
    maps = source_pixels(Recipe(), at_once)
    each = np.concatenate([source_pixels(Recipe(), draw[None]) for draw in at_once])
    assert np.abs(maps - each).max() < 1e-4


def test_a_crop_is_shifted_and_resized_to_the_whole_image() -> None:
    images = np.repeat(blobs(1), 200, axis=0)
    cropped = distort(images, replace(STILL, crop=20)).astype(float)
    assert cropped.shape == images.shape
    heights = (cropped.max(axis=2) > 50).sum(axis=1)
    assert abs(np.median(heights) - 12 * 28 / 20) <= 1  # the blob is 12 pixels high
    tops = (cropped.max(axis=2) > 50).argmax(axis=1)
    assert tops.max() - tops.min() >= 8
    assert (distort(images[:3], replace(STILL, crop=28)) == images[:3]).all()


def test_elastic_strength_is_in_pixels() -> None:
    """A ramp in x shows the displacement along x as a change of grey level."""
    ramp = np.repeat(np.arange(28, dtype=np.uint8)[None, :] * 8, 28, axis=0)
    images = np.repeat(ramp[None], 300, axis=0)
    moved = distort(images, replace(STILL, elastic=1.0)).astype(float)
    inner = (moved - images.astype(float))[:, 8:20, 8:20] / 8
    assert 0.8 < inner.std() < 1.2
