import shutil
from pathlib import Path
from typing import Any

import pytest

from digit_recognizer.cli import main
from digit_recognizer.commands.options import Execution
from digit_recognizer.data.files import read_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.extras.coverage.command import coverage_text
from digit_recognizer.extras.coverage.coverage import FILE, count_resamples, count_resplits
from digit_recognizer.training.recipe import Recipe

RECIPE = Recipe(network="mlp", n_splits=2, epochs=2, batch_size=16, tta=1)


@pytest.fixture
def runs(place: Path, tmp_path: Path) -> Path:
    """Two finished runs, ``whole`` and ``twin``."""
    for name in ("whole", "twin"):
        shutil.copytree(place / "submissions" / "whole", tmp_path / name)
    return tmp_path


def test_resamples_are_counted_kept_and_printed(
    place: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data-dir", str(place / "data"), "--submissions-dir", str(runs)]
    words = ["--runs", "whole twin", "--resamples", "30", "--resplits", "0"]
    assert main(["coverage", *folders, *words]) == 0
    kept = read_json(runs / FILE)
    assert set(kept) == {"resamples"}
    (counts,) = kept["resamples"]["counts"]
    assert counts["n_seeds"] == 1
    assert counts["inside"] + counts["below"] + counts["above"] == counts["n"] == 30
    assert counts["inside"] > 20
    assert 0 < counts["mean_width"] < 1
    assert f"{counts['inside']} of 30 inside" in capsys.readouterr().out


def test_resplits_are_trained_once_and_kept(
    place: Path, runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="digit_recognizer")

    def count(recipe: Recipe) -> dict[str, Any]:
        execution = Execution("cpu", workers=2)
        return count_resplits(place / "data" / "small", runs, recipe, 1, execution)

    resampled = count_resamples(runs, place / "data", ["whole", "twin"], 2)
    counted = count(RECIPE)
    (trial,) = counted["trials"]
    assert 0 <= trial["low"] < trial["high"] <= 1
    assert round(trial["score"] * 72) == pytest.approx(trial["score"] * 72)  # 30 % of 240 rows
    assert counted["counts"]["n"] == 1
    assert "of 1 inside" in coverage_text(None, counted)
    assert read_json(runs / FILE) == {"resamples": resampled, "resplits": counted}
    assert caplog.messages[-1].startswith(f"re-split 1: score {trial['score']:.5f}, expected ")

    caplog.clear()
    assert count(RECIPE) == counted
    assert caplog.messages == []
    with pytest.raises(FileError, match="holds re-splits of another dataset or recipe: give"):
        count(Recipe())


def test_runs_that_cannot_be_resampled_are_refused_in_one_line(place: Path, runs: Path) -> None:
    def refused(*names: str) -> str:
        with pytest.raises(RunError) as error:
            count_resamples(runs, place / "data", names, 5)
        return str(error.value)

    assert refused("whole") == "RUNS: give two or more different finished runs of one dataset"
    assert refused("whole", "whole") == refused("whole")
    assert "there is no such run" in refused("whole", "gone")
    (runs / "twin" / "cv.json").unlink()
    assert "twin: is not finished: run 'make train DATA=small" in refused("whole", "twin")
    assert not (runs / FILE).exists()
