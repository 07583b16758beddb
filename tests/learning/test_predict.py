"""What the networks get to see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.learning.predict import SURE, centre_crop, predict_logits, prepare, views
from digit_recognizer.learning.recipe import SCALINGS, Recipe

CPU = Placement("cpu", "fp32")


def noise(seed: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize(
    ("scaling", "black", "white"),
    [
        ("unit", 0.0, 1.0),
        ("half", -1.0, 1.0),
        ("mnist", -0.1307 / 0.3081, (1 - 0.1307) / 0.3081),
    ],
)
def test_pixels_are_scaled_as_the_recipe_says(scaling: str, black: float, white: float) -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 3, 4] = 255
    x = prepare(image, CPU, scaling)
    assert x.shape == (1, 1, 28, 28)
    assert x[0, 0, 3, 4].item() == pytest.approx(white)
    assert x[0, 0, 0, 0].item() == pytest.approx(black)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(20, 200), st.integers(0, 55))
def test_an_image_scaled_by_itself_knows_no_brightness(seed: int, gain: int, offset: int) -> None:
    pixels = torch.from_numpy(noise(seed)).float() / 255
    x = prepare(pixels * gain + offset, CPU, "image")
    assert torch.allclose(x, prepare(pixels * 255, CPU, "image"), atol=1e-3)
    assert x.mean((1, 2, 3)).abs().max() < 1e-3


def test_a_black_image_gives_finite_numbers() -> None:
    for scaling in SCALINGS:
        x = prepare(torch.zeros(1, 28, 28, dtype=torch.uint8), CPU, scaling)
        assert torch.isfinite(x).all()


def test_the_centre_crop_enlarges_the_middle() -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 4:24] = 200  # a square of 20 pixels around the centre
    cropped = centre_crop(image, 24)
    sides = (cropped[0] > 100).sum(1).max().item(), (cropped[0] > 100).sum(0).max().item()
    assert sides == (24, 24) or sides == (23, 23)  # 20 * 28 / 24 = 23.3
    assert torch.allclose(cropped, cropped.flip(1).flip(2))
    assert (centre_crop(image, 0) == image).all()
    assert (centre_crop(image, 28) == image).all()


def test_predictions_see_through_the_recipes_scaling_and_crop() -> None:
    network, images = NETWORKS["mlp"](), noise(0, 20)
    plain = predict_logits(network, images, Recipe(tta=1), CPU)
    for changes in ({"scaling": "half"}, {"crop": 20}, {"tta": 5}):  # untrained: never sure
        other = predict_logits(network, images, replace(Recipe(tta=1), **changes), CPU)
        assert not np.allclose(other, plain, atol=1e-4)


def test_only_images_that_leave_doubt_are_looked_at_again() -> None:
    network, images = _bold_network(), noise(1, 60)
    recipe = Recipe(tta=5)
    with torch.inference_mode():
        each = torch.stack(
            [
                network.eval()(prepare(view, CPU, recipe.scaling))
                for view in views(torch.from_numpy(images), recipe)
            ]
        )
    sure = each[0].softmax(1).amax(1) >= SURE
    assert 5 < sure.sum() < 55
    expected = torch.where(sure[:, None], each[0], each.mean(0))
    np.testing.assert_allclose(predict_logits(network, images, recipe, CPU), expected, rtol=1e-4)


def _bold_network() -> nn.Module:
    """Sure of about half of all noise images."""
    layer = nn.Linear(784, 10, bias=False)
    weights = np.random.default_rng(0).normal(0, 0.2, (10, 784))
    layer.load_state_dict({"weight": torch.from_numpy(weights)})
    return nn.Sequential(nn.Flatten(), layer)
