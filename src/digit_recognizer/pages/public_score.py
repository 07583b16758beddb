"""What a public score says of a run: whether it was expected, and whether to believe it."""

from collections.abc import Mapping
from typing import Literal

ROUNDING = 5e-6  # Kaggle shows five decimals

Place = Literal["inside", "below", "above"]


def place(score: float, expected: Mapping[str, float]) -> Place:
    """Where a public score lies, against ``expected_score`` of a run's ``cv.json``.

    It is inside where, before Kaggle rounded it, it may have been.
    """
    if score < expected["low"] - ROUNDING:
        return "below"
    return "above" if score > expected["high"] + ROUNDING else "inside"


def suspicion(score: float) -> str:
    """What there is to look for where a public score is too good, else ""."""
    # Not above: it takes scikit-learn along, 2 s that a table without a score can do without.
    from digit_recognizer.learning.metrics import SUSPICIOUS

    if score <= SUSPICIOUS:
        return ""
    return (
        f"a public score above {SUSPICIOUS} is better than the labels allow: look for test rows"
        " that leaked into the training rows"
    )
