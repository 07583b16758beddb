"""Networks have the sizes that their authors state, and their recipes train."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small import images, noise_rows

from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.models import NETWORKS, network_cost
from digit_recognizer.training.predict import predict_logits
from digit_recognizer.training.recipe import RECIPES, Recipe, named_recipe
from digit_recognizer.training.trainer import fit_member
from digit_recognizer.training.zoo import ZOO, PreNormBlock

CPU = Device("cpu", "fp32")


@pytest.mark.parametrize("name", ZOO)
def test_every_system_has_a_recipe_of_its_name_on_the_folds_of_default(name: str) -> None:
    ours, theirs = RECIPES["default"], RECIPES[name]
    assert theirs.network == name
    assert (theirs.n_splits, theirs.split_seed) == (ours.n_splits, ours.split_seed)
    assert theirs.trained_folds == tuple(range(ours.n_splits))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pooled", 557_770),
        ("pooled-256", 1_149_642),
        ("narrow", 298_442),
        ("plain", 303_738),
        ("residual", 482_666),
        ("two-conv", 320 + 18_496 + 3_137_000 + 100_100 + 1_010),
        ("mlp", 401_920 + 131_328 + 32_896 + 8_256 + 650),
        ("keras-cnn", 1_199_882),
        ("deotte", 326_410),
        ("ttdoucet", 4_732_682),
        ("mnist-m3", 9 * 112_160 + 2 * 1_040 + 112_640 + 20),
        ("mnist-m5", 25 * 40_992 + 2 * 480 + 102_400 + 20),
        ("mnist-m7", 49 * 46_128 + 2 * 480 + 30_720 + 20),
        ("matuzas77", 1_280 + 8 * 147_584 + 3 * (256 + 1_156) + 2_560),
        ("baranarca-resnet", 9 * 301_088 + 43_008 + 2 * 2_272 + 2_570),
        ("baranarca-vgg", 9 * 127_040 + 3 * 896 + 2_097_664 + 1_024 + 5_130),
    ],
)
def test_networks_have_as_many_parameters_as_we_and_their_authors_say(
    name: str, parameters: int
) -> None:
    assert network_cost(Recipe(network=name)).parameters == parameters


def test_a_linear_layer_counts_once_for_each_token(tmp_path: Path) -> None:
    rows = "nn.Flatten(1, 2), nn.Linear(28, 8), nn.Flatten(), nn.Linear(28 * 8, 10)"
    (tmp_path / "mine.py").write_text(
        f"from torch import nn\ndef build(): return nn.Sequential({rows})"
    )
    recipe = named_recipe("default", {"network": f"{tmp_path / 'mine.py'}:build"})
    assert network_cost(recipe).multiply_adds == 28 * 28 * 8 + 28 * 8 * 10


def test_multiply_adds_are_those_of_convolutions_and_linear_layers() -> None:
    widths = (784, 512, 256, 128, 64, 10)
    cost = {name: network_cost(Recipe(network=name)).multiply_adds for name in NETWORKS}
    assert cost["mlp"] == sum(a * b for a, b in pairwise(widths))
    two_conv = 28**2 * 9 * 32 + 14**2 * 32 * 9 * 64 + 3136 * 1000 + 1000 * 100 + 100 * 10
    assert cost["two-conv"] == two_conv
    assert round(cost["ttdoucet"] / 1e6) == 329
    assert round(cost["matuzas77"] / 1e6) == 666
    assert round(cost["narrow"] / 1e6, 1) == 15.1
    assert round(cost["pooled"] / 1e6, 1) == 28.8


def test_a_normed_residual_adds_to_what_its_norm_gave() -> None:
    block = PreNormBlock(4).eval()
    with torch.no_grad():
        block.norm.running_mean.fill_(2.0)  # type: ignore[union-attr]
        block.conv.weight.zero_()
        block.conv.bias.fill_(-1.0)  # type: ignore[union-attr]  # ReLU makes it nothing
    x = torch.full((1, 4, 3, 3), 5.0)
    assert torch.allclose(block(x), torch.tensor(3.0), atol=1e-4)


@pytest.mark.parametrize("name", ZOO)
def test_every_system_trains_as_its_recipe_says(name: str) -> None:
    recipe = replace(RECIPES[name], n_splits=2, epochs=2, batch_size=5)
    trained = fit_member(recipe, noise_rows(20, n_test=5), Member(0, 0), CPU)
    assert trained.predictions.test_logits.shape == (5, 10)
    assert np.isfinite(trained.predictions.val_logits).all()
    assert np.isfinite(trained.history[-1].train_loss)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_gives_ten_logits(name: str) -> None:
    assert predict_logits(NETWORKS[name](), images(3), Recipe(), CPU).shape == (3, 10)
