"""``scores``: bring the ledger up to date, show CV accuracy beside public score."""

from collections.abc import Sequence

from digit_recognizer.commands.console import columns, echo
from digit_recognizer.commands.options import Folders
from digit_recognizer.commands.runs import ListedRun, list_runs
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.credentials import find_credentials
from digit_recognizer.kaggle.ledger import Ledger

HEADER = ("run", "dataset", "recipe", "CV accuracy", "expected", "public", "difference", "date")
MIN_PAIRS = 3  # of CV accuracy and public score, for a rank correlation


def scores(*, folders: Folders = Folders()) -> None:
    """Fetch public scores and compare all runs."""
    ledger = Ledger(folders.submissions_dir)
    failure = None
    with ledger.lock():
        try:
            _refresh(ledger)
        except KaggleError as error:
            failure = error
        listed = list(list_runs(folders.submissions_dir))
    for run in listed:
        if run.state.startswith("damaged"):
            echo(f"warning: {run.name}: {run.state}")
    echo(_table(listed))
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
    pending = ledger.pending()
    if ledger.entries() or pending:
        from digit_recognizer.kaggle.client import Kaggle

        listing = Kaggle().submissions()
        ledger.reconcile(pending, listing)
        ledger.refresh(listing)


def _table(runs: Sequence[ListedRun]) -> str:
    """Return a table of the finished runs, their rank correlation, and suspicious scores."""
    from digit_recognizer.runs.score_interval import suspicion

    finished = [(run.cv.cv_accuracy, run) for run in runs if run.cv]
    if not finished:
        return "no finished run yet: 'make train' makes one"
    finished.sort(key=lambda pair: pair[0], reverse=True)
    lines = [columns([HEADER, *(_cells(run) for _, run in finished)])]
    pairs = [(cv, run.public_score) for cv, run in finished if run.public_score is not None]
    if len(pairs) >= MIN_PAIRS and all(len(set(side)) > 1 for side in zip(*pairs, strict=True)):
        from scipy.stats import spearmanr

        correlation = float(spearmanr(pairs).statistic)
        lines += ["", f"rank correlation of CV accuracy and public score: {correlation:+.2f}"]
    for _, run in finished:
        if run.public_score is not None and (warning := suspicion(run.public_score)):
            lines.append(f"warning: {run.name}: {warning}")
    return "\n".join(lines)


def _cells(run: ListedRun) -> tuple[str, ...]:
    name, dataset, recipe, _, accuracy, expected, public, *_ = run.cells()
    low, high = run.cv.cv_interval if run.cv else (0.0, 0.0)
    difference, date = "-", "-"
    if run.upload:
        public, date = run.upload.status, run.upload.time[:10]
    if run.cv and run.public_score is not None:
        public = f"{run.public_score:.5f}"
        difference = f"{run.public_score - run.cv.cv_accuracy:+.5f}"
    half = (high - low) / 2
    return (name, dataset, recipe, f"{accuracy} ± {half:.5f}", expected, public, difference, date)
