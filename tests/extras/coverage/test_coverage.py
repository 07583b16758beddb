import shutil
from pathlib import Path

import pytest
from support.runner import call

from digit_recognizer.data.files import read_json

SETTINGS = ("--network=mlp", "--n-splits=2", "--epochs=2", "--batch-size=16", "--tta=1")


@pytest.fixture
def twins(place: Path, tmp_path: Path) -> Path:
    """A folder with two finished runs of one dataset, ``whole`` and ``twin``."""
    (tmp_path / "data").symlink_to(place / "data")
    for name in ("whole", "twin"):
        shutil.copytree(place / "submissions" / "whole", tmp_path / "submissions" / name)
    return tmp_path


def test_resamples_and_resplits_are_counted_kept_and_printed(
    twins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = twins / "submissions" / "coverage.json"
    words = ["--runs", "whole twin", "--resamples", "30", "--resplits", "0"]
    assert call(twins, "coverage", *words) == 0
    counts = read_json(file)["resamples"]
    assert counts["inside"] + counts["below"] + counts["above"] == counts["n"] == 30
    assert counts["inside"] > 20
    assert 0 < counts["mean_width"] < 1
    assert f"{counts['inside']} of 30 inside" in capsys.readouterr().out

    words = ["--data", "small", "--resplits", "1", "--device", "cpu", *SETTINGS]
    assert call(twins, "coverage", *words) == 0
    kept = read_json(file)
    assert kept["resamples"] == counts
    (trial,) = kept["resplits"]["trials"]
    assert 0 <= trial["low"] < trial["high"] <= 1
    assert round(trial["score"] * 72) == pytest.approx(trial["score"] * 72)  # 30 % of 240 rows
    out = capsys.readouterr().out
    assert f"re-split 1: score {trial['score']:.5f}, expected {trial['low']:.5f} to" in out
    assert "of 1 inside" in out


def test_a_damaged_file_of_counts_is_one_line_that_says_what_to_do(
    twins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (twins / "submissions" / "coverage.json").write_text("{")
    assert call(twins, "coverage", "--resplits", "0") == 1
    assert capsys.readouterr().err.endswith(
        "coverage.json: cannot be read (JSONDecodeError): delete it\n"
    )


def test_runs_that_cannot_be_resampled_are_refused_in_one_line(
    twins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(names: str) -> str:
        assert call(twins, "coverage", "--runs", names, "--resplits", "0") == 1
        return capsys.readouterr().err

    needed = "RUNS: give two or more different finished runs of one dataset"
    assert refused("whole") == f"error: {needed}\n"
    assert refused("whole whole") == refused("whole")
    assert "there is no such run" in refused("whole gone")
    (twins / "submissions" / "twin" / "cv.json").unlink()
    assert "twin: is not finished: run 'make train DATA=small" in refused("whole twin")
