"""The augmentation on a GPU gives the images of the CPU's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.pretended_gpu import PretendedGpus
from support.small import images

from digit_recognizer.data.competition import Dataset
from digit_recognizer.training import trainer
from digit_recognizer.training.augment import augment, augment_on_device, build_transform
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import RECIPES, Recipe
from digit_recognizer.training.trainer import fit_member


@pytest.mark.parametrize("name", ["default", "deotte", "ttdoucet"])
@pytest.mark.parametrize("n_images", [64, 37])  # the last group may be smaller
def test_device_and_cpu_augment_alike(name: str, n_images: int) -> None:
    recipe = RECIPES[name]
    rows = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    generators = [np.random.default_rng(1) for _ in range(2)]
    by_cpu = augment(rows, build_transform(recipe), recipe.group_size, generators[0])
    on_device = augment_on_device(rows, recipe, generators[1], "cpu").numpy()
    assert on_device.dtype == np.uint8
    assert np.abs(by_cpu.astype(int) - on_device).max() <= 2
    assert np.abs(by_cpu.astype(int) - rows).max() > 100
    assert generators[0].random() == generators[1].random()


def test_a_gpu_augments_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "augment", lambda *_: pytest.fail("albumentations on the CPU"))
    data = Dataset(images(20), np.arange(20) % 10, images(2, seed=1))
    recipe = replace(Recipe(), network="lenet5", n_splits=2, epochs=1, batch_size=5, tta=1)
    with PretendedGpus() as gpus:
        fit_member(recipe, data, Member(0, 0), Device("cuda:1", "fp32"))
    assert gpus.kernels["aten.grid_sampler_2d.default"] == 1
    assert not torch.cuda.is_available()
