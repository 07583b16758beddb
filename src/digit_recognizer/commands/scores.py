"""Bring the ledger up to date and show every run's CV accuracy beside its public score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import columns, echo
from digit_recognizer.commands.options import Folders
from digit_recognizer.errors import FileError, KaggleError
from digit_recognizer.kaggle.credentials import find_credentials
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry

if TYPE_CHECKING:
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.request import Request

HEADER = ("run", "dataset", "recipe", "CV accuracy", "expected", "public", "difference", "date")
MIN_PAIRS = 3  # of CV accuracy and public score, for a rank correlation


@dataclass(frozen=True)
class RunScore:
    """A finished run and its last upload."""

    run: str
    request: "Request"
    cv: "CvReport"
    upload: LedgerEntry | None

    @property
    def public_score(self) -> float | None:
        """Kaggle's score of the last upload."""
        return self.upload.public_score if self.upload else None

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        score = self.public_score
        low, high = self.cv.cv_interval
        status = self.upload.status if self.upload else "-"
        return (
            self.run,
            self.request.dataset,
            self.request.recipe_name,
            f"{self.cv.cv_accuracy:.5f} ± {(high - low) / 2:.5f}",
            f"{self.cv.expected_score.low:.5f} to {self.cv.expected_score.high:.5f}",
            status if score is None else f"{score:.5f}",
            "-" if score is None else f"{score - self.cv.cv_accuracy:+.5f}",
            self.upload.time[:10] if self.upload else "-",
        )


def scores(*, folders: Folders = Folders()) -> None:
    """Fetch public scores and compare all runs."""
    ledger = Ledger(folders.submissions_dir)
    failure = None
    with ledger.lock():
        try:
            _refresh(ledger)
        except KaggleError as error:
            failure = error
        uploads = {entry.run: entry for entry in ledger.entries()}  # the last of each run
    echo(_table(_finished_runs(folders.submissions_dir, uploads)))
    if failure:
        raise failure


def _refresh(ledger: Ledger) -> None:
    """Fetch the scores of all uploads, where there are any."""
    if find_credentials() is None:
        echo(
            "nothing was fetched: no Kaggle credentials found ('make doctor' helps);"
            " these are the scores as last seen"
        )
        return
    if not ledger.entries() and not ledger.pending():
        return
    from digit_recognizer.kaggle.client import Kaggle

    listing = Kaggle().submissions()
    ledger.reconcile(listing)
    ledger.refresh(listing)


def _finished_runs(submissions_dir: Path, uploads: dict[str, LedgerEntry]) -> list[RunScore]:
    """Return the finished runs that can be read, best CV accuracy first."""
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.run import all_runs

    found = []
    for run in all_runs(submissions_dir):
        try:
            if not run.cv_path.exists():
                continue
            request, cv = run.request(), CvReport.read(run.cv_path)
        except (FileError, OSError) as error:
            echo(f"warning: left out: {error}")
        else:
            found.append(RunScore(run.name, request, cv, uploads.get(run.name)))
    return sorted(found, key=lambda item: item.cv.cv_accuracy, reverse=True)


def _table(runs: Sequence[RunScore]) -> str:
    """Return a table of runs, their rank correlation, and suspicious scores."""
    if not runs:
        return "no finished run yet: 'make train' makes one"
    from digit_recognizer.runs.score_interval import suspicion

    lines = [columns([HEADER, *(run.cells() for run in runs)])]
    correlation = _rank_correlation(runs)
    if correlation is not None:
        lines += ["", f"rank correlation of CV accuracy and public score: {correlation:+.2f}"]
    scored = [(run.run, run.public_score) for run in runs if run.public_score is not None]
    lines += [
        f"warning: {name}: {warning}" for name, score in scored if (warning := suspicion(score))
    ]
    return "\n".join(lines)


def _rank_correlation(runs: Sequence[RunScore]) -> float | None:
    """Return Spearman's correlation of CV accuracy and public score; None for too few runs."""
    pairs = [(run.cv.cv_accuracy, run.public_score) for run in runs if run.public_score is not None]
    if len(pairs) < MIN_PAIRS or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(pairs).statistic)
