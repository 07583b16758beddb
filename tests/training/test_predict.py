"""Normalization, crops, views and predictions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small import images as noise
from torch import nn

from digit_recognizer.errors import TrainingError
from digit_recognizer.training import predict
from digit_recognizer.training.device import Device
from digit_recognizer.training.models import NETWORKS
from digit_recognizer.training.predict import (
    TTA_CONFIDENCE,
    center_crop,
    normalize,
    predict_logits,
    views,
)
from digit_recognizer.training.recipe import Recipe

CPU = Device("cpu", "fp32")


@pytest.mark.parametrize(
    ("scaling", "black", "white"),
    [("unit", 0, 1), ("half", -1, 1), ("mnist", -0.1307 / 0.3081, (1 - 0.1307) / 0.3081)],
)
def test_pixels_are_scaled_as_the_recipe_says(scaling: str, black: float, white: float) -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 3, 4] = 255
    x = normalize(image, CPU, scaling)
    assert x.shape == (1, 1, 28, 28)
    assert (x[0, 0, 3, 4].item(), x[0, 0, 0, 0].item()) == pytest.approx((white, black))


@given(st.integers(0, 2**32), st.integers(20, 200), st.integers(0, 55))
def test_an_image_scaled_by_itself_knows_no_brightness(seed: int, gain: int, offset: int) -> None:
    pixels = torch.from_numpy(noise(3, seed)).float() / 255
    x = normalize(pixels * gain + offset, CPU, "image")
    assert torch.allclose(x, normalize(pixels * 255, CPU, "image"), atol=1e-3)
    assert x.mean((1, 2, 3)).abs().max() < 1e-3
    assert (normalize(torch.zeros(1, 28, 28), CPU, "image") == 0).all()  # a black image


def test_the_center_crop_enlarges_the_middle() -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 4:24] = 200  # a square of 20 pixels around the centre
    cropped = center_crop(image, 24)
    sides = (cropped[0] > 100).sum(1).max().item(), (cropped[0] > 100).sum(0).max().item()
    assert sides == (24, 24) or sides == (23, 23)  # 20 * 28 / 24 = 23.3
    assert torch.allclose(cropped, cropped.flip(1).flip(2))
    for whole in (0, 28):
        assert (center_crop(image, whole) == image).all()


def test_predictions_see_through_the_recipes_scaling_and_crop() -> None:
    network, images = NETWORKS["mlp"](), noise(20)
    plain = predict_logits(network, images, Recipe(tta=1), CPU)
    for changes in ({"scaling": "half"}, {"crop": 20}, {"tta": 5}):  # untrained: never confident
        other = predict_logits(network, images, Recipe(**{"tta": 1, **changes}), CPU)
        assert not np.allclose(other, plain, atol=1e-4)


def test_only_images_of_low_confidence_are_augmented() -> None:
    layer = nn.Linear(784, 10, bias=False)  # that is confident of about half of all noise
    weights = np.random.default_rng(0).normal(0, 0.2, (10, 784))
    layer.load_state_dict({"weight": torch.from_numpy(weights)})
    network, images, recipe = nn.Sequential(nn.Flatten(), layer), noise(60, 1), Recipe(tta=5)
    with torch.inference_mode():
        shifted = views(torch.from_numpy(images), recipe)
        each = torch.stack([network.eval()(normalize(x, CPU, recipe.scaling)) for x in shifted])
    confident = each[0].softmax(1).amax(1) >= TTA_CONFIDENCE
    assert 5 < confident.sum() < 55
    expected = torch.where(confident[:, None], each[0], each.mean(0))
    np.testing.assert_allclose(predict_logits(network, images, recipe, CPU), expected, rtol=1e-4)


def test_predictions_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = NETWORKS["residual"](), noise(50, 2)
    whole = predict_logits(network, images, Recipe(), CPU)
    monkeypatch.setattr(predict, "BATCH_SIZE_CPU", 7)
    assert np.allclose(whole, predict_logits(network, images, Recipe(), CPU), atol=1e-4)
    assert predict_logits(network, images[:0], Recipe(), CPU).shape == (0, 10)


def test_views_are_the_image_and_its_shifts_by_a_pixel_each_way() -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 10, 20] = 7
    places = [view[0].nonzero().tolist() for view in views(image, Recipe(tta=5))]
    assert places == [[[10, 20]], [[9, 20]], [[11, 20]], [[10, 19]], [[10, 21]]]


def test_too_little_memory_says_what_to_do() -> None:
    class TooLarge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError

    with pytest.raises(TrainingError, match="cpu has too little free memory: close"):
        predict_logits(TooLarge(), noise(3), Recipe(tta=1), CPU)
