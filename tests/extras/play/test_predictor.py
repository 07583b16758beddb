"""Predictions of a run's networks, and the nearest training digits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strokes import png

from digit_recognizer.data.files import read_json, write_json
from digit_recognizer.errors import RunError
from digit_recognizer.extras.play.predictor import (
    Predictor,
    TrainingDigits,
    predict_image,
    select_members,
)
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.models import build_network, load_network
from digit_recognizer.training.predict import predict_logits
from digit_recognizer.training.recipe import Recipe


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50))
def test_the_nearest_digits_are_those_with_the_smallest_distances(
    seed: int, n_images: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    image = rng.integers(0, 256, (28, 28), dtype=np.uint8)
    labels = np.arange(n_images)
    nearest = TrainingDigits(images, labels).nearest(image, count)
    distances = np.linalg.norm((images / 255 - image / 255).reshape(n_images, -1), axis=1)
    order = np.argsort(distances)[:count]
    assert [one.row for one in nearest] == order.tolist()
    assert [one.label for one in nearest] == order.tolist()
    np.testing.assert_allclose([one.distance for one in nearest], distances[order], rtol=1e-4)
    np.testing.assert_array_equal([one.image for one in nearest], images[order])


def test_of_equal_distances_the_earlier_row_is_first() -> None:
    images = np.zeros((5, 28, 28), dtype=np.uint8)
    images[1] = 255
    nearest = TrainingDigits(images, np.arange(5)).nearest(images[1], 4)
    assert [one.row for one in nearest] == [1, 0, 2, 3]


@pytest.mark.parametrize("gain", [1, 1000])  # logits of little confidence, and of much
@pytest.mark.parametrize("changes", [{}, {"tta": 1}, {"scaling": "image", "crop": 24}])
def test_one_image_is_predicted_as_many_are(changes: dict[str, object], gain: int) -> None:
    recipe = Recipe(**changes)
    rng = np.random.default_rng(0)
    network = build_network(recipe, rng)
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    weights[list(weights)[-2]] *= gain  # the last layer's, before its bias
    device = Device("cpu", "fp32")
    network = load_network(recipe, weights, device)
    for image in rng.integers(0, 256, (3, 28, 28), dtype=np.uint8):
        expected = predict_logits(network, image[None], recipe, device)
        logits = predict_image(network, image, recipe, device)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_without_its_training_data_a_run_predicts_and_warns_once(
    drawing_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (reading,) = Predictor(drawing_run, tmp_path).predict(png(7))
    assert reading.proba.argmax() == 7
    assert reading.neighbours == []
    (message,) = caplog.messages
    assert "no nearest training digits" in message


def test_the_parts_of_a_blend_weigh_the_same(drawing: Path, tmp_path: Path) -> None:
    submissions = tmp_path / "submissions"
    for name in ("two", "one"):
        shutil.copytree(drawing / "submissions" / "drawing", submissions / name)
    one = Run(submissions / "one")
    write_json(one.recipe_path, {**one.request().as_dict(), "folds": "1"})
    shutil.rmtree(one.member_dir(Member(0, 0)))
    environment = read_json(submissions / "one" / "environment.json")
    both = Run(submissions / "both")
    request = {"dataset": "sample", "recipe": "blend", "blend_of": ["two", "one"]}
    write_json(both.recipe_path, request)
    write_json(both.environment_path, environment)
    predictor = Predictor(both, drawing / "data")
    assert predictor.member_names == ["two/fold0-seed0", "two/fold1-seed0", "one/fold1-seed0"]
    (reading,) = predictor.predict(png(4))
    first, second, again = reading.members
    np.testing.assert_array_equal(second, again)
    np.testing.assert_allclose(reading.proba, 0.25 * first + 0.75 * second, atol=1e-9)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 20))
def test_members_are_selected_round_robin_up_to_the_limit(sizes: list[int], limit: int) -> None:
    names = [[f"{part}-{turn}" for turn in range(size)] for part, size in enumerate(sizes)]
    selected = select_members(names, limit)
    assert sum(map(len, selected)) == min(limit, sum(sizes))
    for kept, members in zip(selected, names, strict=True):
        assert kept == members[: len(kept)]
        if len(kept) < len(members):  # no part with members left has two fewer than another
            assert len(kept) >= max(map(len, selected)) - 1


def test_damaged_and_missing_networks_are_one_line(drawing: Path, tmp_path: Path) -> None:
    shutil.copytree(drawing / "submissions" / "drawing", tmp_path / "worn")
    worn = Run(tmp_path / "worn")
    worn.weights_path(Member(1, 0)).write_bytes(b"not safetensors at all")
    with pytest.raises(RunError, match=r"model\.safetensors: is damaged.*: delete its folder and"):
        Predictor(worn, drawing / "data")
    worn.weights_path(Member(1, 0)).unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: is damaged.*: delete its folder and"):
        Predictor(worn, drawing / "data")
    shutil.rmtree(worn.member_dir(Member(1, 0)))
    with pytest.raises(RunError, match=r"is not finished: run 'make train DATA=\w+ RECIPE="):
        Predictor(worn, drawing / "data")
