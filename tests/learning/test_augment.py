from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning.augment import augment, build_policy
from digit_recognizer.learning.recipe import Recipe

STILL = replace(Recipe(), rotation=0.0, zoom=0.0, shift=0.0, shear=0.0, elastic=0.0)


def blobs(n: int) -> np.ndarray:
    images = np.zeros((n, 28, 28), dtype=np.uint8)
    images[:, 8:20, 10:18] = np.arange(n, dtype=np.uint8)[:, None, None] % 100 + 100
    return images


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 2**63))
def test_zero_strength_is_the_identity(n: int, group_size: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    result = augment(images, build_policy(STILL), group_size, np.random.default_rng(seed))
    assert (result == images).all()
    assert result is not images


def test_the_same_seed_draws_the_same_and_another_draws_differently() -> None:
    policy = build_policy(Recipe())
    first, again, other = (
        augment(blobs(32), policy, 16, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_global_seeds_neither_matter_nor_move() -> None:
    policy = build_policy(Recipe())
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = augment(blobs(16), policy, 4, np.random.default_rng(5))
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(1)
    assert (augment(blobs(16), policy, 4, np.random.default_rng(5)) == first).all()


def test_images_of_a_group_share_a_draw_and_groups_do_not() -> None:
    same = np.repeat(blobs(1), 32, axis=0)
    result = augment(same, build_policy(Recipe()), 16, np.random.default_rng(0))
    assert (result[:16] == result[0]).all()
    assert (result[16:] == result[16]).all()
    assert (result[0] != result[16]).any()


def test_transforms_of_a_policy_are_not_correlated() -> None:
    """Compose(seed=...) gives rotation and shift the same seed; ours must not."""
    recipe = replace(STILL, shift=4.0)
    moved = augment(
        np.repeat(blobs(1), 400, axis=0), build_policy(recipe), 1, np.random.default_rng(0)
    ).astype(float)
    total = moved.sum(axis=(1, 2))
    rows = (moved.sum(axis=2) * np.arange(28)).sum(axis=1) / total
    columns = (moved.sum(axis=1) * np.arange(28)).sum(axis=1) / total
    assert rows.std() > 1.5
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.15


def test_a_crop_moves_about_and_is_as_large_as_an_image() -> None:
    images = np.repeat(blobs(1), 200, axis=0)
    cropped = augment(
        images, build_policy(replace(STILL, crop=20)), 1, np.random.default_rng(0)
    ).astype(float)
    assert cropped.shape == images.shape
    heights = (cropped.max(axis=2) > 50).sum(axis=1)
    assert abs(np.median(heights) - 12 * 28 / 20) <= 1  # the blob is 12 pixels high
    tops = (cropped.max(axis=2) > 50).argmax(axis=1)
    assert tops.max() - tops.min() >= 8
    whole = augment(images[:3], build_policy(replace(STILL, crop=28)), 1, np.random.default_rng(0))
    assert (whole == images[:3]).all()


def test_elastic_strength_is_in_pixels() -> None:
    """A ramp in x shows the displacement along x as a change of grey level."""
    ramp = np.repeat(np.arange(28, dtype=np.uint8)[None, :] * 8, 28, axis=0)
    recipe = replace(STILL, elastic=1.0)
    images = np.repeat(ramp[None], 300, axis=0)
    moved = augment(images, build_policy(recipe), 1, np.random.default_rng(0)).astype(float)
    inner = (moved - images.astype(float))[:, 8:20, 8:20] / 8
    assert 0.8 < inner.std() < 1.2
