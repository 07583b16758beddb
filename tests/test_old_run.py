"""A run that the first version trained (0.1.0, the sample, one member) stays readable."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support import runner
from support.small import contents

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.files import read_json, write_json

OLD_RUN = Path(__file__).parent / "runs" / "trained_by_0.1.0"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    """The old run, twice, over the sample; it may be submitted, so that the checks go on."""
    _, provenance, _ = fetch_dataset(tmp_path / "data", "sample")
    for name in ("old", "again"):
        run_dir = tmp_path / "submissions" / name
        shutil.copytree(OLD_RUN, run_dir)
        path = run_dir / "environment.json"
        # Other versions of OpenCV may scale the sample's digits to other bytes.
        write_json(path, read_json(path) | {"may_submit": True, "data": provenance.sha256})
    return tmp_path / "submissions"


@pytest.fixture
def call(submissions: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(command: str, *words: str) -> tuple[int, str]:
        code = runner.call(submissions.parent, command, *words)
        return code, "".join(capsys.readouterr())

    return call


def test_its_report_is_printed_and_drawn(call: Call, submissions: Path) -> None:
    code, shown = call("cv", "--run", "old")
    assert (code, "CV accuracy           0.60362  (285 errors in 719 rows" in shown) == (0, True)
    assert "true \\ predicted" in shown
    assert call("report", "--run", "old")[0] == 0
    assert "0.60362" in (submissions / "old" / "report.html").read_text(encoding="utf-8")


def test_its_networks_predict_what_they_predicted(call: Call, submissions: Path) -> None:
    file = str(submissions.parent / "data" / "sample" / "test.csv")
    assert call("predict", "--run", "old", "--file", file, "--device", "cpu")[0] == 0
    predictions = pd.read_csv(submissions / "old" / "predictions.csv")
    submission = pd.read_csv(submissions / "old" / "submission.csv")
    assert (predictions.label == submission.Label).mean() > 0.98  # bf16 or fp32, by the CPU


def test_it_is_blended(call: Call, submissions: Path) -> None:
    code, shown = call("blend", "--runs", "old again", "--run", "both")
    assert code == 0, shown
    old, both = (submissions / name / "submission.csv" for name in ("old", "both"))
    assert old.read_bytes() == both.read_bytes()


def test_it_is_checked_for_submission(call: Call) -> None:
    code, shown = call("submit", "--run", "old", "--yes")
    assert (code, "no Kaggle credentials found: nothing was uploaded" in shown) == (1, True)
    assert "The checked file is " in shown


def test_its_scores_come_again_from_its_members(call: Call, submissions: Path) -> None:
    old = submissions / "old"
    before, scores = contents(old), read_json(old / "cv.json")
    for name in ("oof.csv", "submission.csv", "cv.json"):
        (old / name).unlink()
    assert call("submit", "--run", "old", "--yes")[0] == 1
    again, after = read_json(old / "cv.json"), contents(old)
    assert [after[name] == before[name] for name in ("oof.csv", "submission.csv")] == [True, True]
    assert again.pop("cv_interval") == pytest.approx(scores.pop("cv_interval"), abs=1e-9)
    assert again == {**scores, "may_submit": True, "n_duplicates": 0}
