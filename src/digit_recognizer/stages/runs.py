"""`make runs`: every run under ``submissions/``, whatever state it is in."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from digit_recognizer.pages.runs_table import ListedRun
from digit_recognizer.remote.ledger import Ledger
from digit_recognizer.storage.damage import ODD_SHAPE
from digit_recognizer.storage.files import StorageError, read_json
from digit_recognizer.storage.runs import Run, expected_members


def list_runs(submissions_dir: Path) -> list[ListedRun]:
    """All runs, the newest last. A damaged one is in the list, with a note of what is wrong.

    Raises
    ------
    StorageError
        If the ledger is damaged.
    """
    scores = {entry.run: entry.public_score for entry in Ledger(submissions_dir).entries()}
    folders = [path for path in submissions_dir.glob("[!.]*") if path.is_dir()]
    runs = sorted(map(Run, folders), key=lambda run: (_stamp(run), run.name))
    return [replace(_listed(run), public_score=scores.get(run.name)) for run in runs]


def _listed(run: Run) -> ListedRun:
    when = datetime.fromtimestamp(_stamp(run)).strftime("%Y-%m-%d %H:%M")
    if not run.recipe_path.is_file():
        return ListedRun(run.name, "not a run: has no recipe.json", when)
    try:
        return _read(run, when)
    except StorageError as error:
        note = str(error).replace(f"{run.run_dir}/", "")
        return ListedRun(run.name, f"damaged: {' '.join(note.split())}", when)
    except ODD_SHAPE as error:
        return ListedRun(run.name, f"damaged: not a run's JSON ({type(error).__name__})", when)


def _read(run: Run, when: str) -> ListedRun:
    request = run.request()
    listed = ListedRun(
        run.name,
        "finished" if run.is_done() else "unfinished",
        when,
        str(request["dataset"]),
        str(request["recipe"]),
        _members(run),
        seconds=sum(part.seconds() for part in run.parts()),
    )
    return replace(listed, **_figures(read_json(run.cv_path))) if run.is_done() else listed


def _members(run: Run) -> tuple[int, int]:
    """How many members are done, and of how many, over all parts."""
    n_members = sum(len(expected_members(part.request())) for part in run.parts())
    return n_members - sum(len(part.missing_members()) for part in run.parts()), n_members


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    expected = report["expected_score"]
    return {
        "cv_accuracy": float(report["cv_accuracy"]),
        "expected_score": (float(expected["low"]), float(expected["high"])),
        "seconds": float(report["seconds"]),
    }


def _stamp(run: Run) -> float:
    """When the run was finished, or else begun: seconds since 1970."""
    for path in (run.cv_path, run.recipe_path, run.run_dir):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
