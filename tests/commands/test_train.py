"""What `make train` says at its end."""

import json
import shutil
import time
from pathlib import Path

import pytest
from support.runner import make_small
from support.written_runs import write_run

from digit_recognizer.commands.train import show
from digit_recognizer.runs.ensemble import RunResults


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four finished runs, one of them on other data and one of half of the rows; a damaged one."""
    shelf = tmp_path_factory.mktemp("shelf")
    make_small(shelf / "data")
    write_run(shelf, "good", skill=3)
    write_run(shelf, "worse", skill=1, draw=1)
    write_run(shelf, "half", skill=9, folds="0")
    other = write_run(shelf, "other data", skill=9)
    environment = json.loads(other.environment_path.read_text())
    other.environment_path.write_text(json.dumps({**environment, "data": {}}))
    write_run(shelf, "damaged").cv_path.write_text("{")
    return shelf


def shown(
    shelf: Path, name: str, began: float, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], RunResults]:
    from digit_recognizer.runs.run import Run

    results = RunResults.read(Run(shelf / "submissions" / name), shelf / "data")
    capsys.readouterr()
    show(results, began)
    return capsys.readouterr().out.splitlines(), results


def test_it_ends_with_five_lines(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    lines, results = shown(shelf, "good", 0.0, capsys)
    cv = results.cv
    worse = json.loads((shelf / "submissions" / "worse" / "cv.json").read_text())["cv_accuracy"]
    expected = cv.expected_score
    assert lines == [
        f"out of fold     {cv.cv_accuracy:.5f} ({cv.n_errors} errors in 240 rows)",
        f"expected score  {expected.low:.5f} to {expected.high:.5f}",
        f"best other run  {worse:.5f}, worse: this one {cv.cv_accuracy - worse:+.5f}",
        "report          submissions/good/report.html",
        "next            'make play RUN=good'",
    ]


def test_a_run_that_may_not_be_read_is_no_other_run(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_file = Path.is_file

    def refuse(path: Path) -> bool:  # root, who runs the tests in a container, may read anything
        if path.parent.name == "worse":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    lines, _ = shown(shelf, "good", 0.0, capsys)
    assert lines[2] == "best other run  none on as many rows of this data"


def test_a_run_that_was_finished_before_says_when(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = shown(shelf, "worse", time.time() + 1, capsys)
    assert len(lines) == 6
    assert lines[0].startswith("already finished on 20")
    assert lines[0].endswith(": nothing was done: give another RUN to make a new one")
    assert "good: this one -0." in lines[3]


def test_the_next_command_of_a_run_that_may_be_submitted_is_submit(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shelf / "submissions" / "other data", tmp_path / "submissions" / "real")
    (tmp_path / "data").symlink_to(shelf / "data")
    folder = tmp_path / "submissions" / "real"
    good = json.loads((shelf / "submissions" / "good" / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**good, "may_submit": True}))
    (folder / "cv.json").unlink()
    from digit_recognizer.runs.ensemble import ensure_finished
    from digit_recognizer.runs.run import Run

    ensure_finished(Run(folder), tmp_path / "data")
    lines, _ = shown(tmp_path, "real", 0.0, capsys)
    assert lines[2] == "best other run  none on as many rows of this data"
    assert lines[-1] == "next            'make submit RUN=real'"
