"""``submissions/ledger.csv``: one row for each upload, and the note of one under way."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.listing import Submission
from digit_recognizer.storage.files import StorageError, read_json, write_json, write_text


class LedgerError(StorageError):
    """A ledger that cannot be read, or is in use."""


@dataclass(frozen=True)
class Entry:
    """One upload. ``status`` is pending, complete, error, or what else Kaggle calls it."""

    time: str  # UTC, ISO 8601
    run: str
    file_sha256: str
    cv_accuracy: float | None
    public_score: float | None
    ref: int
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Intent:
    """An upload that was begun: enough to find it in Kaggle's listing after a crash.

    ``last_ref`` is the newest submission before it: no clock needs to be right.
    """

    time: str
    run: str
    file_sha256: str
    cv_accuracy: float | None
    message: str
    file_name: str
    last_ref: int

    def entry(self, ref: int) -> Entry:
        """The ledger's row of this upload."""
        return Entry(self.time, self.run, self.file_sha256, self.cv_accuracy, None, ref, "pending")


COLUMNS = [field.name for field in fields(Entry)]


class Ledger:
    """The ledger of a folder of runs."""

    def __init__(self, submissions_dir: Path) -> None:
        self.path = submissions_dir / "ledger.csv"
        self._intent_path = submissions_dir / ".uploading.json"
        self._lock_path = submissions_dir / ".ledger.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from uploading meanwhile."""
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_path).acquire(timeout=0):
                yield
        except Timeout:
            raise LedgerError(
                f"{self.path}: another 'make submit' or 'make scores' is at work: wait for it"
            ) from None

    def entries(self) -> list[Entry]:
        """Every upload, oldest first.

        Raises
        ------
        LedgerError
            If the file is damaged.
        """
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = csv.DictReader(file)
                return [_entry(row) for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LedgerError(
                f"{self.path}: is damaged ({type(error).__name__}): mend it, or move it away"
            ) from None

    def add(self, entry: Entry) -> None:
        """Append a row."""
        self._write([*self.entries(), entry])

    def update(self, ref: int, **changes: Any) -> None:
        """Fill in what became known of an upload."""
        entries = self.entries()
        place = next(i for i, entry in enumerate(entries) if entry.ref == ref)
        changed = replace(entries[place], **changes)
        if changed != entries[place]:
            self._write([*entries[:place], changed, *entries[place + 1 :]])

    def begin(self, intent: Intent) -> None:
        """Note an upload before it begins."""
        write_json(self._intent_path, asdict(intent))

    def intent(self) -> Intent | None:
        """The upload whose end is not known, if there is one."""
        if not self._intent_path.is_file():
            return None
        try:
            return Intent(**read_json(self._intent_path))
        except TypeError:
            raise RemoteError(
                f"{self._intent_path}: is damaged: look at your submissions on Kaggle,"
                " then delete it"
            ) from None

    def end(self) -> None:
        """Forget the upload that was begun: it is in the ledger, or failed for certain."""
        self._intent_path.unlink(missing_ok=True)

    def settle(self, listing: list[Submission]) -> Entry | None:
        """End the upload that was begun: in the ledger if Kaggle lists it, else forgotten."""
        intent = self.intent()
        if intent is None:
            return None
        arrived = find(intent, listing, {entry.ref for entry in self.entries()})
        entry = intent.entry(arrived.ref) if arrived else None
        if entry:
            self.add(entry)
        self.end()
        return entry

    def refresh(self, listing: list[Submission]) -> None:
        """Fill in status and public score of every upload that Kaggle lists."""
        known = {entry.ref for entry in self.entries()}
        for item in listing:
            if item.ref in known:
                self.update(
                    item.ref,
                    public_score=item.public_score,
                    status=item.status.lower(),
                    reason=item.reason,
                )

    def _write(self, entries: list[Entry]) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(entry) for entry in entries)
        write_text(self.path, text.getvalue())


def find(intent: Intent, listing: list[Submission], taken: set[int]) -> Submission | None:
    """The listed submission that an upload became, if it arrived."""
    for item in listing:
        newer = item.ref > intent.last_ref and item.ref not in taken
        same = item.description.strip() == intent.message.strip()
        if newer and same and item.file_name == intent.file_name:
            return item
    return None


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        row["time"],
        row["run"],
        row["file_sha256"],
        _number(row["cv_accuracy"]),
        _number(row["public_score"]),
        int(row["ref"]),
        row["status"],
        row["reason"] or "",
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
