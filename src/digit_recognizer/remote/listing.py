"""Kaggle's listing of submissions, read from its JSON."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Submission:
    """One entry of Kaggle's listing. ``status`` is PENDING, COMPLETE, ERROR or new to us."""

    ref: int
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
        description=str(entry.get("description") or ""),
        file_name=str(entry.get("fileName") or ""),
        status=status.removeprefix("SUBMISSION_STATUS_"),
        public_score=score,
        reason=" ".join(str(entry.get("errorDescription") or "").split()),
    )
