"""``submit``: check a run's submission, upload it once, fetch its score."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digit_recognizer.commands.console import ask, echo, spinner
from digit_recognizer.commands.options import FinishedRun, Flag, Folders, UserPath
from digit_recognizer.errors import FileError, KaggleError, RunError
from digit_recognizer.kaggle.credentials import COMPETITION_URL, TOKEN_HELP, find_credentials
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, PendingUpload, Submission

if TYPE_CHECKING:
    from digit_recognizer.kaggle.client import Kaggle
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.submission import CheckedSubmission


def submit(
    *,
    run: FinishedRun = None,
    file: Annotated[
        UserPath | None, Parameter(help="a file to upload instead of the run's submission.csv")
    ] = None,
    message: Annotated[
        str | None, Parameter(help="description on Kaggle; else the run and its CV accuracy")
    ] = None,
    yes: Annotated[Flag, Parameter(help="upload without asking")] = False,
    force: Annotated[Flag, Parameter(help="upload the same file again")] = False,
    folders: Folders = Folders(),
) -> None:
    """Check a run's submission, upload it, fetch its score."""
    if file and not file.is_file():
        raise FileError(f"{file}: no such file")
    from digit_recognizer.runs.ensemble import ensure_finished
    from digit_recognizer.runs.run import find_run
    from digit_recognizer.runs.submission import check_submission

    found = None
    if run or not file:
        found = find_run(folders.submissions_dir, run)
        ensure_finished(found, folders.data_dir)
    checked = check_submission(found, file, folders.submissions_dir, folders.data_dir, message)
    ledger = Ledger(folders.submissions_dir)
    with ledger.lock():
        pending = ledger.pending()
        kaggle = _sign_in(checked)
        listing = kaggle.submissions()
        entry = ledger.reconcile(pending, listing)
        if entry is not None and entry.file_sha256 == checked.digest:
            found_as = f"Kaggle lists it ({entry.ref})"
            echo(f"an interrupted 'make submit' had uploaded this file: {found_as}")
        else:
            if not force:
                _refuse_repeat(checked, ledger)
            if not _confirm_upload(kaggle, checked, listing, yes):
                echo("nothing was uploaded")
                return
            entry = _upload(kaggle, ledger, checked, listing)
        _fetch_score(kaggle, ledger, entry.ref, checked)


def _sign_in(checked: "CheckedSubmission") -> "Kaggle":
    from digit_recognizer.kaggle.client import Kaggle

    credentials = find_credentials()
    if credentials is None:
        raise KaggleError(
            "no Kaggle credentials found: nothing was uploaded",
            f"The checked file is {checked.file}\nUpload it by hand at {COMPETITION_URL}/submit\n{TOKEN_HELP}",
        )
    if credentials.warning:
        echo(f"warning: {credentials.warning}")
    return Kaggle()


def _refuse_repeat(checked: "CheckedSubmission", ledger: Ledger) -> None:
    for entry in reversed(ledger.entries()):
        if entry.file_sha256 == checked.digest:
            score = "not known yet: 'make scores' asks for it"
            if entry.public_score is not None:
                score = f"{entry.public_score:.5f}"
            elif entry.status == "error":
                score = "none, Kaggle could not score it"
            fault = f"the same file was uploaded on {entry.time[:10]} as {entry.run}"
            advice = "give FORCE=1 to upload it again"
            raise RunError(f"{checked.file}: {fault} (public score: {score}): {advice}")


def _confirm_upload(
    kaggle: "Kaggle", checked: "CheckedSubmission", listing: list[Submission], yes: bool
) -> bool:
    """Show what is about to be uploaded; return whether the user agrees."""
    quota = kaggle.quota()
    if quota <= 0:
        reason = "no submission is left today, the next is from 00:00 UTC"
        raise KaggleError(f"nothing was uploaded: {reason}")
    echo(_plan(checked, quota, listing))
    if not yes and not sys.stdin.isatty():
        raise KaggleError("nothing was uploaded: there is no terminal to ask on: give YES=1")
    return yes or ask("upload it?")


def _plan(checked: "CheckedSubmission", quota: int, listing: list[Submission]) -> str:
    """Return what is about to be uploaded, with the last three submissions."""
    lines = [
        f"submission of {checked.name}",
        f"  file            {checked.file}  ({checked.n_rows:,} rows, checked)",
        f"  message         {checked.message}",
    ]
    if checked.cv:
        lines.append(f"  CV accuracy     {checked.cv.cv_accuracy:.5f}")
        lines.append(f"  expected score  {checked.cv.expected_score}")
    lines.append(f"  left today      {quota}")
    for item in listing[:3]:
        score = "no score" if item.public_score is None else f"{item.public_score:.5f}"
        lines.append(f"  before          {score}  {' '.join(item.description.split())[:60]}")
    return "\n".join(lines)


def _upload(
    kaggle: "Kaggle", ledger: Ledger, checked: "CheckedSubmission", listing: list[Submission]
) -> LedgerEntry:
    """Upload once: the note written before finds the upload if this process is killed."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    accuracy = checked.cv.cv_accuracy if checked.cv else None
    upload = PendingUpload(
        LedgerEntry(time, checked.name, checked.digest, 0, "pending", cv_accuracy=accuracy),
        message=checked.message,
        file_name=checked.file.name,
        last_ref=max((item.ref for item in listing), default=0),
    )
    ledger.begin(upload)
    try:
        ref = kaggle.upload(
            checked.file, checked.message, lambda: ledger.find(upload, kaggle.submissions())
        )
    except KaggleError:
        if not kaggle.may_have_arrived:
            ledger.forget()
        raise
    return ledger.end(upload, ref)


def _fetch_score(kaggle: "Kaggle", ledger: Ledger, ref: int, checked: "CheckedSubmission") -> None:
    echo(f"uploaded as {ref}; waiting for the score")
    try:
        item = _poll(kaggle, ref)
    except KaggleError as error:
        fault = f"the file is uploaded ({ref}), its score is not known: {error}"
        raise KaggleError(f"{fault}: later, 'make scores' asks for it") from None
    ledger.refresh([item])
    if item.status == "ERROR":
        reason = item.reason or "it gives no reason"
        raise KaggleError(f"Kaggle could not score {checked.file} ({ref}): {reason}")
    if item.status not in ("PENDING", "COMPLETE"):
        fault = f"the file is uploaded ({ref}), with the status {item.status!r}"
        advice = f"look at {COMPETITION_URL}/submissions; 'make scores' asks again"
        raise KaggleError(f"{fault}, which is new to this program: {advice}")
    if item.status == "PENDING":
        echo("no score yet: 'make scores' asks for it later")
    elif item.public_score is None:
        echo("Kaggle has scored it, and shows no public score")
    else:
        echo(_verdict(item.public_score, checked.cv))
        with suppress(KaggleError):
            echo(_rank(item.public_score, kaggle.leaderboard()))


def _poll(kaggle: "Kaggle", ref: int) -> Submission:
    """Return the listed submission once it is scored, or as it is at the time limit."""
    policy, item = kaggle.policy, None
    with spinner("waiting for Kaggle") as show:
        for waited in range(0, policy.poll_timeout, policy.poll_interval):
            item = next((item for item in kaggle.submissions() if item.ref == ref), None)
            if item is not None and item.status != "PENDING":
                return item
            show(f"waiting for Kaggle: {waited} of at most {policy.poll_timeout} s")
            policy.sleep(policy.poll_interval)
    if item is None:
        raise KaggleError(f"Kaggle does not list it: look at {COMPETITION_URL}/submissions")
    return item


def _verdict(score: float, cv: "CvReport | None") -> str:
    """Return the public score beside the CV accuracy, with a warning if it is suspicious."""
    from digit_recognizer.runs.score_interval import suspicion

    line = f"public score {score:.5f}"
    if cv is not None:
        expected = cv.expected_score
        where = expected.position(score)
        line += f", CV accuracy {cv.cv_accuracy:.5f} ({score - cv.cv_accuracy:+.5f}):"
        line += f" {where if where == 'inside' else where.upper()} the expected {expected}"
    warning = suspicion(score)
    return f"{line}\nwarning: {warning}" if warning else line


def _rank(score: float, scores: Sequence[float]) -> str:
    rank, ties = 1 + sum(other > score for other in scores), scores.count(score)
    same = f"; {ties:,} with the same score" if ties else ""
    return f"rank {rank:,} on the public leaderboard of {len(scores):,} teams{same}"
