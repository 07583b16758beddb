"""Which run answers, and what is said about it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.desk import Desk, make_run

from digit_recognizer.data.files import write_text
from digit_recognizer.errors import RunError
from digit_recognizer.runs.inference import (
    PRETRAINED,
    InferenceRun,
    export_pretrained,
    find_inference_run,
    rank_runs,
    uncertainty,
)
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member


def make_whole(desk: Desk, name: str, **facts: Any) -> Path:
    """A finished run with a file for each network."""
    folder = make_run(desk, name, **facts)
    for member in Run(folder).request().members:
        write_text(Run(folder).weights_path(member), "")
    return folder


def test_the_best_run_on_real_data_answers_not_the_latest(desk: Desk) -> None:
    make_whole(desk, "good", cv=0.996)
    make_whole(desk, "best", cv=0.997)
    make_whole(desk, "sample", cv=0.999, source="sample")
    make_whole(desk, "toy", cv=0.91)
    make_whole(desk, "damaged", cv=0.998).joinpath("cv.json").write_text("{")
    make_whole(desk, "unfinished", cv=0.998).joinpath("cv.json").unlink()
    make_run(desk, "without networks", cv=0.998)
    ranked = [each.run.name for each in rank_runs(desk.submissions_dir)]
    assert ranked == ["best", "good", "pretrained", "toy", "sample"]
    assert find_inference_run(desk.submissions_dir, None).run.name == "best"
    assert find_inference_run(desk.submissions_dir, "toy").run.name == "toy"
    with pytest.raises(RunError, match="is not finished"):
        find_inference_run(desk.submissions_dir, "unfinished")


def test_without_a_good_run_on_real_data_the_pretrained_networks_answer(desk: Desk) -> None:
    make_whole(desk, "sample", cv=0.999, source="sample")
    make_whole(desk, "toy", cv=0.91)
    found = find_inference_run(desk.submissions_dir, None)
    assert (found.run, found.warning) == (PRETRAINED, "")
    assert found.title.endswith(" (packaged)")
    assert find_inference_run(desk.submissions_dir, "pretrained").run == PRETRAINED


def test_it_is_named_with_its_accuracy_and_a_warning_where_one_is_due(desk: Desk) -> None:
    good = InferenceRun.read(Run(make_run(desk, "good", cv=0.996)))
    toy = InferenceRun.read(Run(make_run(desk, "toy", cv=0.91)))
    sample = InferenceRun.read(Run(make_run(desk, "small", source="sample")))
    assert good.title == "good: CV accuracy 0.9960, expected score 0.9960"
    assert good.warning == ""
    assert toy.warning == "the run's CV accuracy, 0.9100, is below 0.99"
    assert "trained on the sample" in sample.warning


def test_the_pretrained_networks_have_a_card_and_need_no_predictions() -> None:
    assert (PRETRAINED.run_dir / "README.md").read_text(encoding="utf-8").startswith("# Pretrained")
    members = PRETRAINED.request().members
    assert members == [Member(0, 0), Member(1, 0)]
    for member in members:
        assert PRETRAINED.read_weights(member)
    size = sum(path.stat().st_size for path in PRETRAINED.run_dir.rglob("*") if path.is_file())
    assert size < 4_000_000


def test_a_run_is_exported_as_weights_that_answer(tmp_path: Path) -> None:
    old, exported = Run(Path(__file__).with_name("trained_by_0.1.0")), Run(tmp_path / "exported")
    export_pretrained(old, exported.run_dir)
    (member,) = exported.request().members
    weights, before = exported.read_weights(member), old.read_weights(member)
    assert weights.keys() == before.keys()
    for name, weight in weights.items():
        assert weight.dtype != np.float32
        np.testing.assert_allclose(weight, before[name], rtol=1e-3, atol=1e-4)
    assert not exported.submission_path.exists()


@pytest.mark.parametrize(
    ("proba", "words"),
    [
        ({2: 0.61, 7: 0.3}, "not sure: 2 or 7"),
        ({7: 0.4, 2: 0.3, 1: 0.3}, "not sure: 7 or 2"),
        ({3: 0.986}, ""),
    ],
)
def test_below_the_threshold_the_runner_up_is_named(proba: dict[int, float], words: str) -> None:
    probabilities = np.zeros(10)
    probabilities[list(proba)] = list(proba.values())
    assert uncertainty(probabilities) == words
