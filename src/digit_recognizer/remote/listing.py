"""Kaggle's listing of submissions, read from its JSON."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Submission:
    """One entry of Kaggle's listing. ``status`` is PENDING, COMPLETE, ERROR or new to us."""

    ref: int
    date: datetime | None
    description: str
    file_name: str
    status: str
    public_score: float | None
    reason: str


def submission_of(entry: dict[str, Any]) -> Submission:
    """A listing's entry; what is missing has the wire format's default."""
    try:
        score: float | None = float(entry.get("publicScore") or "")
    except ValueError:
        score = None
    status = str(entry.get("status") or "PENDING").upper()
    return Submission(
        ref=int(entry.get("ref") or 0),
        date=_date(entry.get("date")),
        description=str(entry.get("description") or ""),
        file_name=str(entry.get("fileName") or ""),
        status=status.removeprefix("SUBMISSION_STATUS_"),
        public_score=score,
        reason=" ".join(str(entry.get("errorDescription") or "").split()),
    )


def _date(text: Any) -> datetime | None:
    """A time in UTC; Kaggle writes up to nine decimals of a second, Python reads six."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text).rstrip("Z")))
    except ValueError:
        return None
