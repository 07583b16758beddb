"""Figures of a report that ``cv.json`` lacks: axis, calibration, ensemble size, label issues."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from digit_recognizer.data.competition import Dataset
from digit_recognizer.runs.metrics import CvReport, wilson_interval
from digit_recognizer.runs.predictions import OutOfFold, Proba

MAX_TICKS = 5  # they fit on a phone
N_BINS = 15  # as in Guo et al. 2017
MIN_PROBA = 1e-7  # a probability of 0 has no logarithm; oof.csv keeps 6 decimals
LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))
MAX_ORDERS = 8  # orders in which members are added one by one; their figures are averaged


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


def fit_temperature(labels: NDArray[np.int64], logits: Proba) -> float:
    """Return the temperature, 0.05 to 20, that gives `logits` [N, 10] the smallest log loss.

    Above 1 the probabilities are overconfident, below 1 underconfident.
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        log_proba = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(log_proba[rows, labels].mean())

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, options={"xatol": 1e-3})
    return float(np.exp(found.x))


def rescaled_out_of_fold(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: Proba
) -> tuple[Proba, list[float]]:
    """Return `proba` [N, 10], each fold at the temperature fitted on the others, and these.

    So a row's own label has no part in its temperature. Where all rows are of one fold, even and
    odd rows stand in for folds.
    """
    if len(np.unique(folds)) == 1:
        folds = np.arange(len(labels)) % 2
    logits = np.log(np.clip(proba, MIN_PROBA, 1))
    scaled = np.empty_like(proba)
    temperatures = []
    for fold in np.unique(folds):
        own = folds == fold
        temperatures.append(fit_temperature(labels[~own], logits[~own]))
        scaled[own] = softmax(logits[own] / temperatures[-1], axis=1)
    return scaled, temperatures


@dataclass(frozen=True)
class Ensemble:
    """Members' probabilities of the same rows, [K, N, 10], and their weights, [K], in sum 1."""

    members: Proba
    weights: Proba

    @classmethod
    def of(cls, parts: Sequence[Sequence[Proba] | Proba]) -> "Ensemble":
        """Return the ensemble of a run's parts, each [k, N, 10].

        As in the submission, the parts weigh the same, however many members each has.
        """
        weights = [np.full(len(part), 1 / (len(parts) * len(part))) for part in parts]
        return cls(np.concatenate(parts), np.concatenate(weights))

    @property
    def mean_proba(self) -> Proba:
        """The weighted mean of the members' probabilities [N, 10]."""
        mean: Proba = np.tensordot(self.weights, self.members, axes=1)
        return mean

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The digits [N] that all members together predict."""
        predicted: NDArray[np.int64] = self.mean_proba.argmax(axis=1)
        return predicted

    @property
    def votes(self) -> NDArray[np.int64]:
        """Number of members that predict each row as each digit [N, 10]."""
        votes: NDArray[np.int64] = np.eye(10, dtype=int)[self.members.argmax(axis=2)].sum(axis=0)
        return votes

    def disputed_rows(self) -> NDArray[np.int64]:
        """Return the rows that members predict as different digits, or all rows of one member.

        Those come first on which the fewest members agree, and of these the least confident.
        """
        agreeing = self.votes.max(axis=1)
        order = np.lexsort((self.mean_proba.max(axis=1), agreeing))
        disputed: NDArray[np.int64] = order[agreeing[order] < max(2, len(self.members))]
        return disputed

    def accuracy_by_size(self, labels: NDArray[np.int64]) -> list[dict[str, float]]:
        """Return the mean, lowest and highest accuracy of one, two, … all members.

        In each of several orders members are added in a circle, from another first one. `labels`
        [N] are known ones, if no network saw the row, or what all members predict.
        """
        weighted = self.members * self.weights[:, None, None]
        starts = np.linspace(0, len(weighted), MAX_ORDERS, endpoint=False).astype(int)
        by_order = [
            [
                float((total.argmax(axis=1) == labels).mean())
                for total in accumulate(np.roll(weighted, -start, axis=0))
            ]
            for start in np.unique(starts)
        ]
        return [
            {"members": size, "mean": float(np.mean(a)), "low": min(a), "high": max(a)}
            for size, a in enumerate(zip(*by_order, strict=True), start=1)
        ]


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
