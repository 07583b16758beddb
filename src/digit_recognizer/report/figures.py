"""Figures of a report that ``cv.json`` lacks: axis, calibration, disputed rows, label issues."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.data.competition import Dataset
from digit_recognizer.runs.metrics import CvReport, wilson_interval
from digit_recognizer.runs.predictions import OutOfFold, Proba

MAX_TICKS = 5  # they fit on a phone
N_BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True)
class ScoreAxis:
    """The axis of all scores of a run."""

    low: float
    high: float

    @classmethod
    def of(cls, cv: CvReport, public_score: float | None) -> "ScoreAxis":
        """Return the axis that shows both intervals and the scores on known or public labels."""
        scores = [score for score in (cv.test_accuracy, public_score) if score is not None]
        values = [*cv.cv_interval, cv.expected_score.low, cv.expected_score.high, *scores]
        margin = 0.04 * (max(values) - min(values))
        return cls(min(values) - margin, max(values) + margin)

    def at(self, score: float) -> str:
        """Return where a score lies, in percent of the axis, for CSS."""
        return f"{100 * (score - self.low) / (self.high - self.low):.2f}%"

    @property
    def ticks(self) -> list[str]:
        """A few round scores, as text."""
        steps = [(k / 10**decimals, decimals) for decimals in range(6, -1, -1) for k in (1, 2, 5)]
        step, decimals = next(s for s in steps if self.high - self.low <= MAX_TICKS * s[0])
        first, last = math.ceil(self.low / step), math.floor(min(self.high, 1.0) / step)
        return [f"{number * step:.{decimals}f}" for number in range(first, last + 1)]


def effect_of_test_rows(cv: CvReport) -> float:
    """Return what test rows change that are easier or harder than the out-of-fold rows.

    With it, out-of-fold accuracy and gain add up to the expected score as shown, to 5 decimals.
    """
    expected = cv.expected_score
    start, gain, total = (round(x, 5) for x in (cv.cv_accuracy, expected.gain, expected.middle))
    return round(total - start - gain, 5)


def reliability(labels: NDArray[np.int64], proba: Proba) -> pd.DataFrame:
    """Return ``confidence``, ``accuracy`` with ``low`` and ``high`` of its 95 % interval, ``n_rows``.

    Bin k, from 1 to `N_BINS`, has the rows of `proba` [N, 10] with a confidence above
    (k - 1) / `N_BINS` and up to k / `N_BINS`; empty bins are left out.
    """
    confidence, correct = proba.max(axis=1), proba.argmax(axis=1) == labels
    rows = pd.DataFrame({"confidence": confidence, "accuracy": correct})
    by_bin = rows.groupby(np.ceil(confidence * N_BINS).astype(int))
    counts = zip(by_bin["accuracy"].sum(), by_bin.size(), strict=True)
    low, high = zip(*(wilson_interval(*count) for count in counts), strict=True)
    return by_bin.mean().assign(low=low, high=high, n_rows=by_bin.size())


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, by rows.

    Guo, Pleiss, Sun, Weinberger 2017: On calibration of modern neural networks, ICML.
    """
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    return float(np.average(gaps, weights=bins["n_rows"]))


def disputed_rows(votes: NDArray[np.int64], proba: Proba) -> NDArray[np.int64]:
    """Return the rows that members predict as different digits, or all rows of one member.

    `votes` [N, 10] are numbers of members, `proba` [N, 10] the mean of all. The rows come first on
    which the fewest members agree, and of these the least confident.
    """
    agreeing = votes.max(axis=1)
    order = np.lexsort((proba.max(axis=1), agreeing))
    disputed: NDArray[np.int64] = order[agreeing[order] < max(2, votes[0].sum())]
    return disputed


def contradictory_labels(data: Dataset, oof: OutOfFold) -> NDArray[np.int64]:
    """Return the out-of-fold errors [K] whose image has another label in another row."""
    first = data.first_rows()
    contradicted = first[data.labels != data.labels[first]]
    return np.flatnonzero(np.isin(first[oof.rows], contradicted) & ~oof.correct)


def probable_label_errors(labels: NDArray[np.int64], proba: Proba) -> NDArray[np.int64]:
    """Return the rows [K] whose labels confident learning calls wrong, the most suspicious first.

    A row is called wrong if another class's probability reaches the mean that this class has
    on rows which bear it as their label. The order is that of the label's own probability.
    Each row of `proba` [N, 10] is by members that never saw it.

    This is a finding to look at, not an input: no score or weight may depend on it, because a
    row's own label went into it.

    Northcutt, Jiang, Chuang 2021: Confident learning, J. Artif. Intell. Res. 70:1373, by the
    authors' library.
    """
    if len(np.unique(labels)) == 1:  # no other label is known, and the library refuses
        return np.empty(0, dtype=np.int64)
    # Imported here: Kaggle's image, where runs are trained too, lacks it.
    from cleanlab.filter import find_label_issues

    found: NDArray[np.int64] = find_label_issues(
        labels,
        proba,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found


def label_issues(oof: OutOfFold, issues: NDArray[np.int64]) -> pd.DataFrame:
    """Return the table of `issues`, the most suspicious first; rows count from 0."""
    labels, suggested = oof.labels[issues], oof.predicted[issues]
    table = {
        "row": oof.rows[issues],
        "label": labels,
        "suggested": suggested,
        "proba_label": oof.proba[issues, labels],
        "proba_suggested": oof.proba[issues, suggested],
        "rank": np.arange(1, len(issues) + 1),
    }
    return pd.DataFrame(table)
