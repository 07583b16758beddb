"""``scores``: bring the ledger up to date, show CV accuracy beside public score."""

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import Folders
from digit_recognizer.commands.runs import list_runs, print_runs
from digit_recognizer.kaggle.credentials import find_credentials
from digit_recognizer.kaggle.ledger import Ledger


def scores(*, folders: Folders = Folders()) -> None:
    """Fetch public scores and compare all runs."""
    from digit_recognizer.runs.score_interval import suspicion

    ledger = Ledger(folders.submissions_dir)
    with ledger.lock():
        try:
            _refresh(ledger)
        finally:  # also where Kaggle fails: the scores as last seen
            listed = list(list_runs(folders.submissions_dir))
            listed.sort(key=lambda run: run.cv.cv_accuracy if run.cv else 0.0, reverse=True)
            print_runs(listed)
            for run in listed:
                if run.public_score is not None and (warning := suspicion(run.public_score)):
                    echo(f"warning: {run.name}: {warning}")


def _refresh(ledger: Ledger) -> None:
    """Fetch the scores of all uploads, where there are any."""
    if find_credentials() is None:
        reason = "no Kaggle credentials found ('make doctor' helps)"
        echo(f"nothing was fetched: {reason}; these are the scores as last seen")
        return
    pending = ledger.pending()
    if ledger.entries() or pending:
        from digit_recognizer.kaggle.client import Kaggle

        listing = Kaggle().submissions()
        ledger.reconcile(pending, listing)
        ledger.refresh(listing)
