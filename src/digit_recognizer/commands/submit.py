"""Check a run's submission, upload it once, fetch its score."""

import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digit_recognizer.commands.console import ask, echo, waiting_progress
from digit_recognizer.commands.options import FinishedRun, Flag, Folders
from digit_recognizer.errors import FileError, KaggleError, RunError
from digit_recognizer.kaggle.credentials import PAGE, TOKEN_HELP, find_credentials
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, PendingUpload, now

if TYPE_CHECKING:
    from digit_recognizer.kaggle.client import Kaggle, Quota, Submission
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.submission import CheckedSubmission


def submit(
    *,
    run: FinishedRun = None,
    file: Annotated[
        Path | None, Parameter(help="another file than the run's submission.csv")
    ] = None,
    message: Annotated[
        str | None, Parameter(help="its description on Kaggle; else the run and its CV accuracy")
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
    from digit_recognizer.runs.submission import check

    found = None
    if run or not file:
        found = find_run(folders.submissions_dir, run)
        ensure_finished(found, folders.data_dir)
    checked = check(found, file, folders.submissions_dir, folders.data_dir)
    checked = replace(checked, message=message or checked.message)
    ledger = Ledger(folders.submissions_dir)
    with ledger.lock():
        pending = ledger.pending()
        is_pending = pending is not None and pending.file_sha256 == checked.digest
        if not (force or is_pending):
            _refuse_repeat(checked, ledger)
        kaggle = _sign_in(checked)
        if entry := _find_or_upload(kaggle, ledger, checked, yes, force):
            _fetch_score(kaggle, ledger, entry.ref, checked)
        else:
            echo("nothing was uploaded")


def _refuse_repeat(checked: "CheckedSubmission", ledger: Ledger) -> None:
    """Raise RunError if a file with the same content is in the ledger."""
    for entry in reversed(ledger.entries()):
        if entry.file_sha256 == checked.digest:
            score = "no score yet" if entry.public_score is None else f"{entry.public_score:.5f}"
            raise RunError(
                f"{checked.file}: the same file was uploaded on {entry.time[:10]} as"
                f" {entry.run} (public score: {score}): give FORCE=1 to upload it again"
            )


def _sign_in(checked: "CheckedSubmission") -> "Kaggle":
    from digit_recognizer.kaggle.client import Kaggle

    credentials = find_credentials()
    if credentials is None:
        raise KaggleError(
            "no Kaggle credentials found: nothing was uploaded",
            f"The checked file is {checked.file}\nUpload it by hand at {PAGE}/submit\n{TOKEN_HELP}",
        )
    if credentials.warning:
        echo(f"warning: {credentials.warning}")
    return Kaggle()


def _find_or_upload(
    kaggle: "Kaggle", ledger: Ledger, checked: "CheckedSubmission", yes: bool, force: bool
) -> LedgerEntry | None:
    """Return the upload, unless the user decides against it."""
    listing = kaggle.submissions()
    entry = ledger.reconcile(listing)
    if entry is not None and entry.file_sha256 == checked.digest:
        echo(f"an interrupted 'make submit' had uploaded this file: Kaggle lists it ({entry.ref})")
        return entry
    if not force:
        _refuse_repeat(checked, ledger)
    quota = kaggle.quota()
    if quota.remaining <= 0:
        raise KaggleError(_no_quota(quota))
    echo(_plan(checked, quota, listing))
    if not yes and not sys.stdin.isatty():
        raise KaggleError("nothing was uploaded: there is no terminal to ask: give YES=1")
    if not yes and not ask("upload it?"):
        return None
    return _upload(kaggle, ledger, checked, listing)


def _no_quota(quota: "Quota") -> str:
    if quota.limited_by_total:
        return "nothing was uploaded: this competition takes no more submissions from you"
    time = datetime.now(UTC)
    minutes = 24 * 60 - (60 * time.hour + time.minute)
    return (
        f"nothing was uploaded: no submission is left today ({quota.used} made): the next is"
        f" possible from 00:00 UTC, in {minutes // 60} h {minutes % 60:02} min"
    )


def _plan(checked: "CheckedSubmission", quota: "Quota", listing: "list[Submission]") -> str:
    """Return what is about to be uploaded, with the last three submissions."""
    lines = [
        f"submission of {checked.name}",
        f"  file            {checked.file}  ({checked.n_rows:,} rows, checked)",
        f"  message         {checked.message}",
    ]
    if checked.cv:
        expected = checked.cv.expected_score
        lines += [
            f"  CV accuracy     {checked.cv.cv_accuracy:.5f}",
            f"  expected score  {expected.low:.5f} to {expected.high:.5f}",
        ]
    lines.append(f"  left today      {quota.remaining}")
    for item in listing[:3]:
        score = "no score" if item.public_score is None else f"{item.public_score:.5f}"
        lines.append(f"  before          {score}  {' '.join(item.description.split())[:60]}")
    return "\n".join(lines)


def _upload(
    kaggle: "Kaggle", ledger: Ledger, checked: "CheckedSubmission", listing: "list[Submission]"
) -> LedgerEntry:
    """Upload once: the note written before finds the upload if this process is killed."""
    upload = PendingUpload(
        time=now(),
        run=checked.name,
        file_sha256=checked.digest,
        cv_accuracy=checked.cv.cv_accuracy if checked.cv else None,
        message=checked.message,
        file_name=checked.file.name,
        last_ref=max((item.ref for item in listing), default=0),
    )
    known = ledger.refs()
    ledger.begin(upload)
    try:
        ref = kaggle.upload(
            checked.file, checked.message, lambda: upload.find(kaggle.submissions(), known)
        )
    except KaggleError:
        if not kaggle.may_have_arrived:
            ledger.end()
        raise
    entry = upload.entry(ref)
    ledger.add(entry)
    ledger.end()
    return entry


def _fetch_score(kaggle: "Kaggle", ledger: Ledger, ref: int, checked: "CheckedSubmission") -> None:
    echo(f"uploaded as {ref}; waiting for the score")
    try:
        item = _poll(kaggle, ref)
    except KaggleError as error:
        raise KaggleError(
            f"the file is uploaded ({ref}), its score is not known: {error}: later,"
            " 'make scores' asks for it"
        ) from None
    ledger.refresh([item])
    if item.status == "ERROR":
        reason = item.reason or "it gives no reason"
        raise KaggleError(f"Kaggle could not score {checked.file} ({ref}): {reason}")
    if item.status == "PENDING":
        echo("no score yet: 'make scores' asks for it later")
    elif item.status == "COMPLETE":
        echo(_verdict(item.public_score, checked.cv))
        _show_rank(kaggle, item.public_score)
    else:
        raise KaggleError(
            f"the file is uploaded ({ref}), with the status {item.status!r}, which is new to"
            f" this program: look at {PAGE}/submissions; 'make scores' asks again"
        )


def _show_rank(kaggle: "Kaggle", score: float | None) -> None:
    """Print where the score stands on the public leaderboard, if Kaggle gives that."""
    if score is None:
        return
    with suppress(KaggleError):
        scores = kaggle.leaderboard()
        rank, ties = 1 + sum(other > score for other in scores), scores.count(score)
        same = f"; {ties:,} with the same score" if ties else ""
        echo(f"rank {rank:,} on the public leaderboard of {len(scores):,} teams{same}")


def _poll(kaggle: "Kaggle", ref: int) -> "Submission":
    """Return the listed submission once it is scored, or as it is at the time limit."""
    policy = kaggle.policy
    waited, pause, n_asked = 0.0, policy.poll_interval, 0
    with waiting_progress() as waiting:
        while True:
            item = next((item for item in kaggle.submissions() if item.ref == ref), None)
            n_asked += 1
            if item is None and n_asked >= policy.attempts:
                raise KaggleError(f"Kaggle does not list it: look at {PAGE}/submissions")
            if item is not None and (item.status != "PENDING" or waited >= policy.poll_timeout):
                return item
            waiting(waited, policy.poll_timeout)
            policy.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 15.0)


def _verdict(score: float | None, cv: "CvReport | None") -> str:
    """Return the public score beside the CV accuracy, with a warning if it is suspicious."""
    from digit_recognizer.runs.score_interval import position, suspicion

    if score is None:
        return "Kaggle has scored it, and shows no public score"
    line = f"public score {score:.5f}"
    if cv is not None:
        expected = cv.expected_score
        where = position(score, expected)
        line += (
            f", CV accuracy {cv.cv_accuracy:.5f} ({score - cv.cv_accuracy:+.5f}):"
            f" {where if where == 'inside' else where.upper()} the"
            f" expected {expected.low:.5f} to {expected.high:.5f}"
        )
    warning = suspicion(score)
    return f"{line}\nwarning: {warning}" if warning else line
