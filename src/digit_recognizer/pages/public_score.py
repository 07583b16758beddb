"""What a public score says of a run: whether it was expected."""

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
