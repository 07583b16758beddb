"""The top of a report: scores on one axis, and the sum that leads to the expected one."""

import math
from dataclasses import dataclass

from digit_recognizer.runs.metrics import CvReport

MAX_TICKS = 5  # they fit on a phone


@dataclass(frozen=True)
class ScoreAxis:
    """The axis of all scores of a run; ``ticks`` are values and their texts."""

    low: float
    high: float
    ticks: list[tuple[float, str]]

    @classmethod
    def of(cls, cv: CvReport, public_score: float | None) -> "ScoreAxis":
        """Return the axis that shows both intervals and the scores on known or public labels."""
        expected = cv.expected_score
        scores = [score for score in (cv.test_accuracy, public_score) if score is not None]
        values = [*cv.cv_interval, expected.low, expected.high, *scores]
        margin = 0.04 * (max(values) - min(values))
        low, high = min(values) - margin, max(values) + margin
        return cls(low, high, _ticks(low, min(high, 1.0)))

    def at(self, score: float) -> str:
        """Return where a score lies, in percent of the axis, for CSS."""
        return f"{100 * (score - self.low) / (self.high - self.low):.2f}%"


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    power = math.floor(math.log10((high - low) / MAX_TICKS))
    steps = [factor * 10.0**power for factor in (1, 2, 5, 10)]
    step = next(step for step in steps if (high - low) / step <= MAX_TICKS)
    ticks = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(tick, f"{tick:.{decimals}f}") for tick in ticks]


def score_sum(cv: CvReport) -> dict[str, float]:
    """Return the terms of the expected score, rounded so that they add up as they are shown.

    ``mix`` is what the rows of the test set change, which may be easier or harder than the
    out-of-fold rows, and ``gain`` what averaging all members adds; see `runs.score_interval`.
    """
    expected = cv.expected_score
    start, gain, total = (round(x, 5) for x in (cv.cv_accuracy, expected.gain, expected.middle))
    return {"start": start, "mix": round(total - start - gain, 5), "gain": gain, "total": total}
