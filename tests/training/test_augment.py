from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulated_gpu import SimulatedGpus
from support.small import UNDISTORTED, noise_rows
from support.small import images as noise

from digit_recognizer.training import trainer
from digit_recognizer.training.augment import (
    MIDDLE,
    N_DRAWS,
    PIXEL_POSITIONS,
    augment,
    augment_on_device,
    build_transform,
    source_pixels,
)
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import RECIPES, Recipe
from digit_recognizer.training.trainer import fit_member

STILL = Recipe(**UNDISTORTED)


def blobs(n: int) -> np.ndarray:
    images = np.zeros((n, 28, 28), dtype=np.uint8)
    images[:, 8:20, 10:18] = np.arange(n, dtype=np.uint8)[:, None, None] % 100 + 100
    return images


def distort(images: np.ndarray, recipe: Recipe, group_size: int = 1, seed: int = 0) -> np.ndarray:
    return augment(images, build_transform(recipe), group_size, np.random.default_rng(seed))


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 2**63))
def test_zero_strength_is_the_identity(n: int, group_size: int, seed: int) -> None:
    images = noise(n, seed)
    result = distort(images, STILL, group_size, seed)
    assert (result == images).all()
    assert result is not images


def test_the_generator_alone_decides_and_global_ones_neither_matter_nor_move() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = distort(blobs(16), Recipe(), 4, 5)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(1)
    assert (distort(blobs(16), Recipe(), 4, 5) == first).all()
    assert (distort(blobs(16), Recipe(), 4, 6) != first).any()


def test_images_of_a_group_share_a_draw_and_groups_do_not() -> None:
    same = np.repeat(blobs(1), 32, axis=0)
    result = distort(same, Recipe(), 16)
    assert (result[:16] == result[0]).all()
    assert (result[16:] == result[16]).all()
    assert (result[0] != result[16]).any()


def test_shifts_are_even_up_to_the_strength_not_of_whole_pixels_and_not_correlated() -> None:
    moved = distort(np.repeat(blobs(1), 2000, axis=0), replace(STILL, shift=1.5)).astype(float)
    total, pixels = moved.sum(axis=(1, 2)), np.arange(28) - 13.5
    rows, columns = ((moved.sum(axis=axis) * pixels).sum(axis=1) / total for axis in (2, 1))
    assert -1.6 < rows.min() < -1.4
    assert 1.4 < rows.max() < 1.6
    assert abs(rows.std() - 1.5 / 3**0.5) < 0.05
    assert np.ptp(np.histogram(rows, 6, (-1.5, 1.5))[0]) < 100
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rotation": 90.0}, lambda x, y: (-y, x)),
        ({"shear": 45.0}, lambda x, y: (x + y, x + y)),
        ({"zoom": 0.5}, lambda x, y: (x / 1.5, y / 1.5)),
    ],
)
def test_rotation_and_shear_are_in_degrees_and_zoom_is_a_fraction(
    changes: dict, expected: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    largest = np.ones((1, N_DRAWS), dtype=np.float32)
    found = source_pixels(replace(STILL, **changes), largest)[0] - MIDDLE
    np.testing.assert_allclose(found, expected(*PIXEL_POSITIONS.reshape(2, 28, 28)), atol=1e-4)


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


@pytest.mark.parametrize("recipe", [RECIPES[name] for name in ("default", "deotte", "ttdoucet")])
@pytest.mark.parametrize("n_images", [64, 37])  # the last group may be smaller
def test_a_gpus_augmentation_gives_the_images_of_the_cpus(recipe: Recipe, n_images: int) -> None:
    rows = noise(n_images)
    generators = [np.random.default_rng(1) for _ in range(2)]
    by_cpu = augment(rows, build_transform(recipe), recipe.group_size, generators[0])
    on_device = augment_on_device(rows, recipe, generators[1], "cpu").numpy()
    assert on_device.dtype == np.uint8
    assert np.abs(by_cpu.astype(int) - on_device).max() <= 2
    assert np.abs(by_cpu.astype(int) - rows).max() > 100
    assert generators[0].random() == generators[1].random()


def test_a_gpu_augments_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "augment", lambda *_: pytest.fail("albumentations on the CPU"))
    recipe = Recipe(network="lenet5", n_splits=2, epochs=1, batch_size=5, tta=1)
    with SimulatedGpus() as gpus:
        fit_member(recipe, noise_rows(20), Member(0, 0), Device("cuda:1", "fp32"))
    assert gpus.kernels["aten.tan.default"] == 1  # where the pixels come from
    assert gpus.kernels["aten.grid_sampler_2d.default"] == 1
