"""The table of uploads, ``submissions/ledger.csv``, and the note of one under way."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from digit_recognizer.data import files


@dataclass(frozen=True)
class Submission:
    """An entry of Kaggle's list. ``status`` is PENDING, COMPLETE, ERROR, or a new one."""

    ref: int
    description: str
    file_name: str
    status: str
    public_score: float | None
    reason: str


@dataclass(frozen=True)
class LedgerEntry:
    """One upload. ``status`` is Kaggle's, in lower case: pending, complete, error, …"""

    time: str  # UTC, ISO 8601
    run: str
    file_sha256: str
    cv_accuracy: float | None = field(default=None, kw_only=True)
    public_score: float | None = field(default=None, kw_only=True)
    ref: int
    status: str
    reason: str = ""


@dataclass(frozen=True)
class PendingUpload:
    """An upload that was begun, with what finds it in Kaggle's list after a crash.

    ``last_ref`` is the newest submission before it, so no clock needs to be right.
    """

    entry: LedgerEntry  # of reference number 0
    message: str
    file_name: str
    last_ref: int


class Ledger:
    """The ledger of a folder of runs."""

    def __init__(self, submissions_dir: Path) -> None:
        self.path = submissions_dir / "ledger.csv"
        self._pending_path = submissions_dir / ".uploading.json"

    def lock(self) -> AbstractContextManager[object]:
        """Keep other processes from uploading."""
        taken = f"{self.path}: another 'make submit' or 'make scores' is running: wait for it"
        return files.lock(self.path.with_name(".ledger.lock"), taken)

    def entries(self) -> list[LedgerEntry]:
        """Return every upload, oldest first."""
        if not os.path.lexists(self.path):
            return []
        return files.read_csv_as(self.path, LedgerEntry, "fix it, or move it away")

    def add(self, entry: LedgerEntry) -> None:
        """Append a row."""
        self._write([*self.entries(), entry])

    def begin(self, upload: PendingUpload) -> None:
        """Note an upload before it begins."""
        files.write_json(self._pending_path, upload)

    def pending(self) -> PendingUpload | None:
        """Return the upload whose end is not known, if there is one."""
        if not os.path.lexists(self._pending_path):
            return None
        advice = "look at your submissions on Kaggle, then delete it"
        return files.read_json_as(self._pending_path, PendingUpload, advice)

    def find(self, upload: PendingUpload, listing: list[Submission]) -> Submission | None:
        """Return the listed submission that an upload became, if it arrived."""
        known = {entry.ref for entry in self.entries()}
        for item in listing:
            newer = item.ref > upload.last_ref and item.ref not in known
            same = item.description.strip() == upload.message.strip()
            if newer and same and item.file_name == upload.file_name:
                return item
        return None

    def end(self, upload: PendingUpload, ref: int) -> LedgerEntry:
        """Add an upload that arrived, and remove its note."""
        entry = replace(upload.entry, ref=ref)
        self.add(entry)
        self.forget()
        return entry

    def forget(self) -> None:
        """Remove the note of an upload that failed for certain."""
        self._pending_path.unlink(missing_ok=True)

    def reconcile(
        self, upload: PendingUpload | None, listing: list[Submission]
    ) -> LedgerEntry | None:
        """Add the upload that was begun if Kaggle lists it, and remove its note."""
        if upload and (arrived := self.find(upload, listing)):
            return self.end(upload, arrived.ref)
        self.forget()
        return None

    def refresh(self, listing: list[Submission]) -> None:
        """Fill in the status and public score of every upload that Kaggle lists."""
        listed = {item.ref: item for item in listing}
        entries = self.entries()
        updated = [_updated(entry, listed.get(entry.ref)) for entry in entries]
        if updated != entries:
            self._write(updated)

    def _write(self, entries: list[LedgerEntry]) -> None:
        files.write_csv(self.path, map(asdict, entries))


def last_upload(entries: Sequence[LedgerEntry], run: str, submission: Path) -> LedgerEntry | None:
    """Return the last upload of a run's `submission`, not of another that it had before."""
    digest = files.sha256(submission) if submission.is_file() else ""
    own = [entry for entry in entries if (entry.run, entry.file_sha256) == (run, digest)]
    return own[-1] if own else None


def _updated(entry: LedgerEntry, item: Submission | None) -> LedgerEntry:
    if item is None:
        return entry
    status = item.status.lower()
    return replace(entry, status=status, public_score=item.public_score, reason=item.reason)
