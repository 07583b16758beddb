"""`make scores`: bring the ledger up to date and set every run's CV beside its public score."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.remote.client import Kaggle
from digit_recognizer.remote.credentials import find_credentials
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.ledger import Entry, Ledger
from digit_recognizer.remote.patience import Patience
from digit_recognizer.storage.damage import ODD_SHAPE
from digit_recognizer.storage.files import StorageError, read_json
from digit_recognizer.storage.runs import Run

ENOUGH = 3  # pairs of CV and public score, for a rank correlation


@dataclass(frozen=True)
class RunScore:
    """One finished run; ``public_score``, ``difference`` and ``date`` of its last upload."""

    run: str
    dataset: str
    recipe: str
    cv_accuracy: float
    cv_interval: tuple[float, float]
    expected_score: tuple[float, float]
    status: str | None  # None: never uploaded
    public_score: float | None
    date: str

    @property
    def difference(self) -> float | None:
        """Public score less CV accuracy."""
        return None if self.public_score is None else self.public_score - self.cv_accuracy


@dataclass(frozen=True)
class Scores:
    """Every finished run that can be read, best CV first.

    ``rank_correlation`` is Spearman's, of CV and public score; ``failure`` says why the figures
    are only those of the ledger.
    """

    runs: list[RunScore]
    rank_correlation: float | None
    failure: RemoteError | None


def scores(
    submissions_dir: Path, say: Callable[[str], None], patience: Patience | None = None
) -> Scores:
    """Refresh the ledger where there are credentials, and read everything.

    Raises
    ------
    StorageError
        If the ledger is damaged or in use.
    """
    ledger = Ledger(submissions_dir)
    failure = None
    with ledger.lock():
        try:
            if ledger.entries() or ledger.intent():
                _refresh(ledger, say, patience)
        except RemoteError as error:
            failure = error
        entries = ledger.entries()
    runs = _finished(submissions_dir, entries, say)
    runs.sort(key=lambda item: item.cv_accuracy, reverse=True)
    return Scores(runs, rank_correlation(runs), failure)


def rank_correlation(runs: list[RunScore]) -> float | None:
    """Spearman's rank correlation of CV accuracy and public score; None for too few runs."""
    pairs = [
        (item.cv_accuracy, item.public_score) for item in runs if item.public_score is not None
    ]
    if len(pairs) < ENOUGH or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(pairs).statistic)


def _refresh(ledger: Ledger, say: Callable[[str], None], patience: Patience | None) -> None:
    if find_credentials() is None:
        say("no Kaggle credentials found: these are the scores as last seen ('make doctor' helps)")
        return
    listing = Kaggle(patience).submissions()
    ledger.settle(listing)
    ledger.refresh(listing)


def _finished(
    submissions_dir: Path, entries: list[Entry], say: Callable[[str], None]
) -> list[RunScore]:
    found = []
    for path in sorted(submissions_dir.glob("*/cv.json")):
        run = Run(path.parent)
        try:
            found.append(_score(run, entries))
        except StorageError as error:
            say(f"warning: left out: {error}")
        except ODD_SHAPE as error:
            say(f"warning: left out: {run.run_dir}: not a run's JSON ({type(error).__name__})")
    return found


def _score(run: Run, entries: list[Entry]) -> RunScore:
    report, request = read_json(run.cv_path), run.request()
    last = next((entry for entry in reversed(entries) if entry.run == run.name), None)
    low, high = report["cv_interval"]
    expected = report["expected_score"]
    return RunScore(
        run=run.name,
        dataset=str(request["dataset"]),
        recipe=str(request["recipe"]),
        cv_accuracy=float(report["cv_accuracy"]),
        cv_interval=(float(low), float(high)),
        expected_score=(float(expected["low"]), float(expected["high"])),
        status=last.status if last else None,
        public_score=last.public_score if last else None,
        date=last.time[:10] if last else "",
    )
