"""`make runs`: every run in a line, whatever state it is in."""

import os
import re
from pathlib import Path

import pytest
from support.desk import Desk
from support.runner import call
from support.written_runs import write_run

from digit_recognizer.commands.runs import list_runs
from digit_recognizer.data.files import sha256, write_json
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry
from digit_recognizer.runs.ensemble import blend
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member


@pytest.fixture(scope="module")
def shelf(shelf: Path) -> Path:
    """A finished run, a blend, and folders in every state between."""
    submissions = shelf / "submissions"
    write_run(shelf, "done", skill=3)
    write_run(shelf, "done too", skill=3, draw=1)
    blend(shelf / "data", submissions, ["done", "done too"], "both")
    unfinished = write_run(shelf, "unfinished", skill=3, n_splits=3)
    unfinished.cv_path.unlink()
    unfinished.predictions_path(Member(1, 0)).unlink()
    write_run(shelf, "bad json").cv_path.write_text("{")
    write_run(shelf, "odd json").cv_path.write_text('{"cv_accuracy": "high"}')
    write_run(shelf, "odd recipe").recipe_path.write_text('{"dataset": 3}')
    write_run(shelf, "list recipe").recipe_path.write_text("[]")
    (submissions / "empty").mkdir()
    orphan = Request("small", "blend", None, ("done", "gone"))
    write_json(submissions / "orphan" / "recipe.json", orphan.as_dict())
    (submissions / ".hidden").mkdir()
    (submissions / "compare.csv").touch()
    return shelf


def test_each_folder_is_a_row_that_says_what_it_is(shelf: Path) -> None:
    listed = {item.name: item for item in list_runs(shelf / "submissions")}
    assert {name: item.state for name, item in listed.items()} == {
        "done": "finished",
        "done too": "finished",
        "both": "finished",
        "unfinished": "unfinished",
        "bad json": "damaged: cv.json: cannot be read (JSONDecodeError): delete it, and repeat"
        " the command that made the run: it writes it again",
        "odd json": "damaged: cv.json: cv_accuracy: input should be a valid number: delete it,"
        " and repeat the command that made the run: it writes it again",
        "odd recipe": "damaged: recipe.json: is not a run's recipe ('recipe'): bring it back,"
        " delete the run, or use the version that made it",
        "list recipe": "damaged: recipe.json: is not a JSON object: bring it back, delete the run,"
        " or use the version that made it",
        "empty": "not a run: has no recipe.json",
        "orphan": f"damaged: {shelf}/submissions/gone: is not a run: 'make train' makes one",
    }
    counts = {"done": (2, 2), "both": (4, 4), "unfinished": (2, 3)}
    assert {name: (listed[name].n_done, listed[name].n_members) for name in counts} == counts
    assert listed["both"].cells()[1:3] == ("small", "blend")
    assert listed["both"].cv == Run(shelf / "submissions" / "both").cv()
    assert listed["both"].seconds == 20


def test_the_newest_is_last_and_public_scores_come_from_the_ledger(
    shelf: Path, shelf_desk: Desk
) -> None:
    done, ledger = Run(shelf / "submissions" / "done"), Ledger(shelf / "submissions")
    os.utime(done.cv_path, (4e9, 4e9))
    digest = sha256(done.submission_path)
    for ref, file, score in ((1, digest, 0.5), (2, digest, 0.99321), (3, "another", 0.6)):
        ledger.add(LedgerEntry("2026-01-01", "done", file, ref, "complete", public_score=score))
    lines = shelf_desk.ok("runs").splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("done  ")
    assert re.search(r"  0\.99321  +0\.2  +2096-10-0\d \d\d:\d\d  finished$", lines[-1])


def test_an_empty_folder_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "runs") == 0
    assert capsys.readouterr().out == "no run yet: 'make train' makes one\n"


def test_a_run_with_changed_settings_shows_them(shelf: Path) -> None:
    write_run(shelf, "small")
    write_run(shelf, "many", epochs=3, lr=0.01, rotation=12.0)
    listed = {item.name: item.cells()[2] for item in list_runs(shelf / "submissions")}
    assert listed["small"] == "default, network mlp, n_splits 2"
    assert listed["many"] == "default, network mlp, n_splits 2, epochs 3, lr 0.01, ..."


def test_an_unknown_run_names_those_that_exist(shelf: Path, shelf_desk: Desk) -> None:
    line = f"{shelf}/submissions/none: there is no such run; the runs here: bad json, both, done, "
    assert shelf_desk.fail("cv", "--run", "none").startswith(line)
