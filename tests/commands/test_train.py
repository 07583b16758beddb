"""What `make train` says at its end."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.written_runs import write_run

from digit_recognizer.commands.train import print_results
from digit_recognizer.data.files import write_json
from digit_recognizer.runs.ensemble import RunResults, ensure_finished
from digit_recognizer.runs.run import Run


@pytest.fixture(scope="module")
def shelf(shelf: Path) -> Path:
    """Four finished runs, one of them on other data and one of half of the rows; a damaged one."""
    write_run(shelf, "good", skill=3)
    write_run(shelf, "worse", skill=1, draw=1)
    write_run(shelf, "half", skill=9, folds="0")
    other = write_run(shelf, "other data", skill=9)
    write_json(other.environment_path, replace(other.environment(), data={}))
    write_run(shelf, "damaged").cv_path.write_text("{")
    return shelf


def shown(run: Run, capsys: pytest.CaptureFixture[str], was_finished: bool = False) -> list[str]:
    results = RunResults.read(run, run.run_dir.parents[1] / "data")
    print_results(replace(results, was_finished=was_finished))
    return capsys.readouterr().out.splitlines()


def test_it_ends_with_five_lines(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    good = Run(shelf / "submissions" / "good")
    cv, expected = good.cv(), good.cv().expected_score
    worse = Run(shelf / "submissions" / "worse").cv().cv_accuracy
    assert shown(good, capsys) == [
        f"CV accuracy     {cv.cv_accuracy:.5f} ({cv.n_errors} errors in 240 rows)",
        f"expected score  {expected.low:.5f} to {expected.high:.5f}",
        f"best other run  {worse:.5f} (worse; this run {cv.cv_accuracy - worse:+.5f})",
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
    lines = shown(Run(shelf / "submissions" / "good"), capsys)
    assert lines[2] == "best other run  none on this data with as many rows"


def test_a_run_that_was_finished_before_says_when(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(Run(shelf / "submissions" / "worse"), capsys, was_finished=True)
    assert len(lines) == 6
    assert lines[0].startswith("already finished on 20")
    assert lines[0].endswith(": nothing was done: give another RUN to make a new one")
    assert "(good; this run -0." in lines[3]


def test_an_accuracy_that_is_too_good_is_a_warning(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(shelf, "too good")
    write_json(run.cv_path, replace(run.cv(), suspicious=True))
    warning = "warning: CV accuracy above 0.9987 is suspicious, because some labels are wrong: look"
    assert shown(run, capsys)[0].startswith(warning)
    assert warning[9:] in run.report_path.read_text(encoding="utf-8")


def test_the_next_command_of_a_run_that_may_be_submitted_is_submit(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(shelf / "data")
    run = write_run(tmp_path, "real")
    write_json(run.environment_path, replace(run.environment(), may_submit=True))
    run.cv_path.unlink()
    ensure_finished(run, tmp_path / "data")
    lines = shown(run, capsys)
    assert lines[2] == "best other run  none on this data with as many rows"
    assert lines[-1] == "next            'make submit RUN=real'"
