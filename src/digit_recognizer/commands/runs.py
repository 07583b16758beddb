"""``runs``: list every run of the submissions folder."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import columns, echo
from digit_recognizer.commands.options import Folders
from digit_recognizer.errors import UserError

if TYPE_CHECKING:
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import Run

HEADER = (
    *("run", "dataset", "recipe", "members", "CV accuracy", "expected score", "public"),
    *("minutes", "when", "state"),
)
MOST_SETTINGS = 3  # in a row of the table


@dataclass(frozen=True)
class ListedRun:
    """One folder; what is not known is None, and ``state`` says why."""

    name: str
    when: str
    state: str = ""  # finished, unfinished, or what is wrong with it
    dataset: str | None = None
    recipe: str | None = None
    n_done: int = 0
    n_members: int = 0
    seconds: float | None = None
    cv: "CvReport | None" = None
    public_score: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of a row of the table."""
        expected = self.cv.expected_score if self.cv else None
        return (
            self.name,
            self.dataset or "-",
            self.recipe or "-",
            f"{self.n_done}/{self.n_members}" if self.n_members else "-",
            f"{self.cv.cv_accuracy:.5f}" if self.cv else "-",
            f"{expected.low:.5f} to {expected.high:.5f}" if expected else "-",
            "-" if self.public_score is None else f"{self.public_score:.5f}",
            "-" if self.seconds is None else f"{self.seconds / 60:.1f}",
            self.when,
            self.state,
        )


def runs(*, folders: Folders = Folders()) -> None:
    """List all runs."""
    listed = list_runs(folders.submissions_dir)
    table = columns([HEADER, *(run.cells() for run in listed)])
    echo(table if listed else "no run yet: 'make train' makes one")


def list_runs(submissions_dir: Path) -> list[ListedRun]:
    """Return all runs, the newest last; a damaged one with a note of what is wrong."""
    from digit_recognizer.kaggle.ledger import Ledger
    from digit_recognizer.runs.run import all_runs

    scores = {entry.run: entry.public_score for entry in Ledger(submissions_dir).entries()}
    found = sorted(all_runs(submissions_dir), key=lambda run: (_finished_at(run), run.name))
    return [replace(_listed(run), public_score=scores.get(run.name)) for run in found]


def _listed(run: "Run") -> ListedRun:
    when = datetime.fromtimestamp(_finished_at(run)).strftime("%Y-%m-%d %H:%M")
    empty = ListedRun(run.name, when)
    try:
        if not run.recipe_path.is_file():
            return replace(empty, state="not a run: has no recipe.json")
        return _read(run, empty)
    except (UserError, OSError) as error:
        return replace(empty, state=f"damaged: {error}".replace(f"{run.run_dir}/", ""))


def _read(run: "Run", empty: ListedRun) -> ListedRun:
    from digit_recognizer.runs.metrics import CvReport

    request, parts = run.request(), run.parts()
    cv = CvReport.read(run.cv_path) if run.is_done() else None
    return replace(
        empty,
        state="finished" if cv else "unfinished",
        dataset=request.dataset,
        recipe=_recipe(request),
        n_done=sum(len(part.finished_members()) for part in parts),
        n_members=sum(len(part.request().members) for part in parts),
        seconds=cv.seconds if cv else sum(part.seconds() for part in parts),
        cv=cv,
    )


def _recipe(request: "Request") -> str:
    """Return the recipe's name, and the settings that were changed."""
    changed = [f"{key} {value}" for key, value in request.changed.items()]
    if len(changed) > MOST_SETTINGS:
        changed[MOST_SETTINGS - 1 :] = [f"{len(changed) - MOST_SETTINGS + 1} more"]
    return ", ".join([request.recipe_name, *changed])


def _finished_at(run: "Run") -> float:
    """Return when the run was finished, or else begun, in seconds since 1970."""
    for path in (run.cv_path, run.recipe_path, run.run_dir):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
