"""What `make submit` says before and after an upload."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digit_recognizer.pages.public_score import place, suspicion


def plan(
    name: str,
    file: Path,
    n_rows: int,
    message: str,
    report: dict[str, Any] | None,
    left: int,
    latest: Sequence[tuple[str, float | None]],
) -> str:
    """What is about to be uploaded.

    Parameters
    ----------
    report : content of ``cv.json``, where the file is a run's own
    latest : message and public score of the last submissions, newest first
    """
    lines = [
        f"submission of {name}",
        f"  file            {file}  ({n_rows:,} rows, checked)",
        f"  message         {message}",
    ]
    if report:
        expected = report["expected_score"]
        lines += [
            f"  CV accuracy     {report['cv_accuracy']:.5f}",
            f"  expected score  {expected['low']:.5f} to {expected['high']:.5f}",
        ]
    lines.append(f"  left today      {left}")
    for message_before, score in latest:
        shown = "no score" if score is None else f"{score:.5f}"
        lines.append(f"  before          {shown}  {' '.join(message_before.split())[:60]}")
    return "\n".join(lines)


def verdict(score: float | None, report: dict[str, Any] | None) -> str:
    """The public score beside the CV score, and a warning where it is too good to be true.

    Parameters
    ----------
    report : content of ``cv.json``, where the file is a run's own
    """
    if score is None:
        return "Kaggle has scored it, and shows no public score"
    line = f"public score {score:.5f}"
    if report is not None:
        expected = report["expected_score"]
        difference = score - report["cv_accuracy"]
        where = place(score, expected)
        shown = where if where == "inside" else where.upper()
        line += (
            f", CV accuracy {report['cv_accuracy']:.5f} ({difference:+.5f}): {shown} the"
            f" expected {expected['low']:.5f} to {expected['high']:.5f}"
        )
    doubt = suspicion(score)
    return f"{line}\nwarning: {doubt}" if doubt else line
