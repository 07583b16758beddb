"""Predictions of a run's networks, and the nearest training digits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strokes import png

from digit_recognizer.data.files import write_json
from digit_recognizer.errors import RunError
from digit_recognizer.extras.play.predictor import Predictor, TrainingDigits, data_url
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50))
def test_the_nearest_digits_have_the_smallest_distances_earlier_rows_first(
    seed: int, n_images: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    images = images[rng.integers(0, n_images, n_images)]  # some are the same
    image = rng.integers(0, 256, (28, 28), dtype=np.uint8)
    nearest = TrainingDigits(images, np.arange(n_images) % 10).nearest(image, count)
    distances = np.linalg.norm((images - image.astype(float)).reshape(n_images, -1), axis=1)
    order = np.argsort(distances, kind="stable")[:count]
    assert [near["row"] for near in nearest] == order.tolist()
    assert [near["label"] for near in nearest] == (order % 10).tolist()
    assert [near["image"] for near in nearest] == list(map(data_url, images[order]))


def test_without_its_training_data_a_run_predicts_and_warns_once(
    drawing_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (reading,) = Predictor(drawing_run, tmp_path).predict(png(7))
    assert reading["label"] == 7
    assert reading["neighbours"] == []
    (message,) = caplog.messages
    assert "no nearest training digits" in message


def test_the_parts_of_a_blend_weigh_the_same(drawing: Path, tmp_path: Path) -> None:
    both, two, one = (Run(tmp_path / "submissions" / name) for name in ("both", "two", "one"))
    for run in (two, one):
        shutil.copytree(drawing / "submissions" / "drawing", run.run_dir)
    write_json(one.recipe_path, {**one.request().as_dict(), "folds": "1"})
    request = {"dataset": "sample", "recipe": "blend", "blend_of": ["two", "one"]}
    write_json(both.recipe_path, request)
    write_json(both.environment_path, one.environment())
    (reading,) = Predictor(both, drawing / "data").predict(png(4))
    first, second, again = np.array(reading["members"])
    np.testing.assert_array_equal(second, again)
    np.testing.assert_allclose(reading["proba"], 0.25 * first + 0.75 * second, atol=1e-9)


def test_damaged_and_missing_networks_are_one_line(drawing: Path, tmp_path: Path) -> None:
    worn = Run(shutil.copytree(drawing / "submissions" / "drawing", tmp_path / "worn"))
    weights = worn.weights_path(Member(1, 0))
    for spoil in (lambda: weights.write_bytes(b"not safetensors at all"), weights.unlink):
        spoil()
        with pytest.raises(RunError, match=r"is damaged.*: delete its folder and"):
            Predictor(worn, drawing / "data")
