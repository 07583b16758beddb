"""``runs``: list every run of the submissions folder."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import echo, format_columns
from digit_recognizer.commands.options import Folders
from digit_recognizer.errors import UserError
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, last_upload

if TYPE_CHECKING:
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import Run

HEADER = (
    *("run", "dataset", "recipe", "members", "CV accuracy", "expected score", "public score"),
    *("training minutes", "date", "state"),
)
MAX_RECIPE_CHARS = 60  # characters in a row of the table


@dataclass
class ListedRun:
    """One folder; what is not known is None, and ``state`` says why."""

    name: str
    when: float  # it was finished, or else begun, in seconds since 1970
    upload: LedgerEntry | None = None  # the last one of its submission.csv
    state: str = "finished"  # or unfinished, or what is wrong with it
    request: "Request | None" = None
    cv: "CvReport | None" = None
    n_done: int = 0
    n_members: int = 0
    seconds: float | None = None

    @property
    def public_score(self) -> float | None:
        """Kaggle's score of its submission.csv."""
        return self.upload.public_score if self.upload else None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of a row of the table."""
        status = self.upload.status if self.upload else "-"
        return (
            self.name,
            self.request.dataset if self.request else "-",
            _recipe(self.request) if self.request else "-",
            f"{self.n_done}/{self.n_members}" if self.n_members else "-",
            f"{self.cv.cv_accuracy:.5f}" if self.cv else "-",
            str(self.cv.expected_score) if self.cv else "-",
            status if self.public_score is None else f"{self.public_score:.5f}",
            "-" if self.seconds is None else f"{self.seconds / 60:.1f}",
            datetime.fromtimestamp(self.when).strftime("%Y-%m-%d %H:%M"),
            self.state,
        )


def runs(*, folders: Folders = Folders()) -> None:
    """List all runs."""
    print_runs(sorted(list_runs(folders.submissions_dir), key=lambda run: (run.when, run.name)))


def print_runs(listed: Sequence[ListedRun]) -> None:
    """Print a table of runs."""
    table = format_columns([HEADER, *(run.cells() for run in listed)])
    echo(table if listed else "no run yet: 'make train' makes one")


def list_runs(submissions_dir: Path) -> Iterator[ListedRun]:
    """Yield all runs; a damaged one has a note of what is wrong, and what can be read."""
    from digit_recognizer.runs.run import all_runs

    uploads = Ledger(submissions_dir).entries()
    for run in all_runs(submissions_dir):
        listed = ListedRun(run.name, _finished_at(run))
        try:
            listed.upload = last_upload(uploads, run.name, run.submission_path)
            _read(run, listed)
        except (UserError, OSError) as error:
            listed.state = f"damaged: {error}".replace(f"{run.run_dir}/", "")
        yield listed


def _read(run: "Run", listed: ListedRun) -> None:
    if not run.recipe_path.is_file():
        listed.state = "not a run: has no recipe.json"
        return
    listed.request = run.request()
    if run.is_finished():
        listed.cv = run.cv()
    parts = run.parts()
    listed.n_done = sum(len(part.finished_members()) for part in parts)
    listed.n_members = sum(len(part.request().members) for part in parts)
    listed.seconds = listed.cv.seconds if listed.cv else sum(part.seconds() for part in parts)
    listed.state = "finished" if listed.cv else "unfinished"


def _recipe(request: "Request") -> str:
    """Return the recipe's name, and the settings that were changed."""
    changed = [f"{key} {value}" for key, value in request.changed.items()]
    text = ", ".join([request.recipe_name, *changed])
    return textwrap.shorten(text, MAX_RECIPE_CHARS, placeholder=" ...")


def _finished_at(run: "Run") -> float:
    for path in (run.cv_path, run.recipe_path, run.run_dir):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
