"""`make submit`: check a run's submission, upload it once, bring its score back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from digit_recognizer.pages import submission_text
from digit_recognizer.remote.candidate import Candidate, check, refuse_repeat
from digit_recognizer.remote.client import Kaggle
from digit_recognizer.remote.credentials import (
    HOW_TO_GET_ONE,
    find_credentials,
)
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.ledger import Entry, Intent, Ledger, find, now
from digit_recognizer.remote.listing import Submission
from digit_recognizer.remote.patience import Patience
from digit_recognizer.storage.datasets import COMPETITION
from digit_recognizer.storage.runs import Run

PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}"
Say = Callable[[str], None]
Waiting = Callable[[float, float], None]  # seconds waited, seconds at most


@dataclass(frozen=True)
class Outcome:
    """How a submission ended. Without ``ref`` nothing was uploaded; without ``public_score``
    Kaggle had not scored it when the waiting ended."""

    ref: int | None
    public_score: float | None
    cv_accuracy: float | None


def submit(
    run: Run | None,
    submissions_dir: Path,
    data_dir: Path,
    file: Path | None,
    message: str | None,
    yes: bool,
    force: bool,
    ask: Callable[[str], bool] | None,
    say: Say,
    waiting: Waiting = lambda waited, limit: None,
    patience: Patience | None = None,
) -> Outcome:
    """Check, ask, upload once, wait for the score, keep it in the ledger.

    Parameters
    ----------
    run : a finished run; None for a `file` that belongs to no run
    file : another file than the run's submission.csv
    message : what Kaggle shows beside it; run and CV accuracy if None
    yes, force : upload without asking; although the same file was uploaded before
    ask : puts a question; None where there is nobody to answer
    say : takes the lines that tell what goes on
    waiting : told how long the score is waited for

    Raises
    ------
    StorageError
        If the file is invalid or may not be submitted: it never left the machine.
    RemoteError
        If Kaggle cannot be reached, refuses, or finds fault with the file.
    """
    candidate = check(run, submissions_dir, data_dir, file, message)
    ledger = Ledger(submissions_dir)
    with ledger.lock():
        unsettled = ledger.intent()
        same = unsettled is not None and unsettled.file_sha256 == candidate.digest
        if not (force or same):
            refuse_repeat(candidate, ledger.entries())
        _need_credentials(candidate, say)
        kaggle = Kaggle(patience)
        listing = kaggle.submissions()
        entry = ledger.settle(listing)
        if entry is not None and entry.file_sha256 == candidate.digest:
            say(
                f"an interrupted 'make submit' had uploaded this file: Kaggle lists it ({entry.ref})"
            )
        else:
            if not force:
                refuse_repeat(candidate, ledger.entries())
            entry = _upload_if_agreed(kaggle, ledger, candidate, listing, yes, ask, say)
        if entry is None:
            say("nothing was uploaded")
            return Outcome(None, None, None)
        return _await_score(kaggle, ledger, entry, candidate, say, waiting)


def _need_credentials(candidate: Candidate, say: Say) -> None:
    credentials = find_credentials()
    if credentials is None:
        raise RemoteError(
            "no Kaggle credentials found: nothing was uploaded",
            f"The checked file is {candidate.file}\n"
            f"Upload it by hand at {PAGE}/submit\n{HOW_TO_GET_ONE}",
        )
    if credentials.warning:
        say(f"warning: {credentials.warning}")


def _upload_if_agreed(
    kaggle: Kaggle,
    ledger: Ledger,
    candidate: Candidate,
    listing: list[Submission],
    yes: bool,
    ask: Callable[[str], bool] | None,
    say: Say,
) -> Entry | None:
    quota = kaggle.quota()
    if quota.left <= 0:
        raise RemoteError(_quota_text(quota.today, quota.limited_by_total))
    say(
        submission_text.plan(
            candidate.name,
            candidate.file,
            candidate.n_rows,
            candidate.message,
            candidate.report,
            quota.left,
            [(item.description, item.public_score) for item in listing[:3]],
        )
    )
    if not yes:
        if ask is None:
            raise RemoteError("nothing was uploaded: there is no terminal to ask: give YES=1")
        if not ask("upload it?"):
            return None
    return _upload(kaggle, ledger, candidate, listing)


def _upload(
    kaggle: Kaggle, ledger: Ledger, candidate: Candidate, listing: list[Submission]
) -> Entry:
    cv = candidate.report["cv_accuracy"] if candidate.report else None
    last_ref = max((item.ref for item in listing), default=0)
    intent = Intent(
        now(),
        candidate.name,
        candidate.digest,
        cv,
        candidate.message,
        candidate.file.name,
        last_ref,
    )
    taken = {entry.ref for entry in ledger.entries()}
    ledger.begin(intent)
    try:
        ref = kaggle.upload(
            candidate.file,
            candidate.message,
            lambda: find(intent, kaggle.submissions(), taken),
        )
    except RemoteError:
        if not kaggle.may_have_arrived:
            ledger.end()
        raise
    entry = intent.entry(ref)
    ledger.add(entry)
    ledger.end()
    return entry


def _quota_text(today: int, limited_by_total: bool) -> str:
    if limited_by_total:
        return "nothing was uploaded: this competition takes no more submissions from you"
    moment = datetime.now(UTC)
    midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = int((midnight - moment).total_seconds() // 60) + 1
    return (
        f"nothing was uploaded: no submission is left today ({today} made): the next is possible"
        f" from 00:00 UTC, in {minutes // 60} h {minutes % 60:02} min"
    )


def _await_score(
    kaggle: Kaggle, ledger: Ledger, entry: Entry, candidate: Candidate, say: Say, waiting: Waiting
) -> Outcome:
    say(f"uploaded as {entry.ref}; waiting for the score")
    try:
        item = _poll(kaggle, entry.ref, waiting)
    except RemoteError as error:
        raise RemoteError(
            f"the file is uploaded ({entry.ref}), its score is not known: {error}: later,"
            " 'make scores' asks for it"
        ) from None
    ledger.refresh([item])
    cv = candidate.report["cv_accuracy"] if candidate.report else None
    if item.status == "ERROR":
        reason = item.reason or "it gives no reason"
        raise RemoteError(f"Kaggle could not score {candidate.file} ({entry.ref}): {reason}")
    if item.status == "PENDING":
        say("no score yet: 'make scores' asks for it later")
        return Outcome(entry.ref, None, cv)
    if item.status != "COMPLETE":
        raise RemoteError(
            f"the file is uploaded ({entry.ref}), with the status {item.status!r}, which is new to"
            f" this program: look at {PAGE}/submissions; 'make scores' asks again"
        )
    say(submission_text.verdict(item.public_score, candidate.report))
    return Outcome(entry.ref, item.public_score, cv)


def _poll(kaggle: Kaggle, ref: int, waiting: Waiting) -> Submission:
    """The listing's entry once it is scored, or as it is when patience ends."""
    patience = kaggle.patience
    waited, pause, looks = 0.0, patience.score_pause, 0
    while True:
        item = next((item for item in kaggle.submissions() if item.ref == ref), None)
        looks += 1
        if item is None and looks >= patience.attempts:
            raise RemoteError(f"Kaggle does not list it: look at {PAGE}/submissions")
        if item is not None and (item.status != "PENDING" or waited >= patience.score_limit):
            return item
        waiting(waited, patience.score_limit)
        patience.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, 15.0)
