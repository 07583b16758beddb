"""The score to expect of a submission, with a 95 % prediction interval.

Out-of-fold rows tell how accurate a part of the ensemble is: the one member that never saw the
row, or with several seeds their mean. The submission is the mean of all members. So the expected
score is the CV accuracy plus the gain of all members over such a part. Its uncertainty is
the sampling noise of the out-of-fold rows, that of the test rows, and that of the gain. Members
see (n_splits - 1) / n_splits of the rows in both figures, so nothing is corrected for that. Both
figures come from the same networks: given these, rows are independent, and the variances of the
two sets of rows add.

*The gain.* Take rows near the border between two digits, with log-odds t spread evenly at
density f, labels that follow them, and networks that see t with independent normal noise of
variance v, the mean of n of them with v / n. A part then differs from the ensemble in a fraction
D = f sqrt(2 v' / pi) of the rows, where v' is the variance that averaging removes, and is less
accurate by f v' / 4: the gain grows as D squared. (As v' = v (1/n - 1/N), it is also Tumer and
Ghosh's law, Pattern Recognition 29:341, 1996, that the added error falls as 1/n.) D is counted
on the test rows and needs no label. The factor of D squared is measured on out-of-fold rows
where these have several networks each (seeds, or the parts of a blend): their mean against each
single one. Where they have one, it is pi / (8 f) with f from the error: evenly spread log-odds
alone would make an error of 2 f ln 2, and the factor 0.54 / error. Wrong labels belong to the
error but not to f: see `GAIN_FACTOR`.

*The rows.* Test rows may be harder or easier than the out-of-fold rows, and the networks'
confidence shows it: correct out-of-fold rows are counted by confidence, and weighted by how many
test rows have that confidence (post-stratification: Holt and Smith 1979, J. R. Stat. Soc. A
142:33). The noise is that within the strata.
"""

import math

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.runs.metrics import SUSPICIOUS_ACCURACY, ExpectedScore
from digit_recognizer.runs.predictions import EnsemblePredictions, Proba

Z = 1.959964  # the normal distribution's 97.5 % quantile
# Gain * error / D^2 of a one-seed run, and its relative standard deviation. Measured on 42,000
# out-of-fold rows: 0.82 for five networks of one epoch (1.2 % errors), 0.91 for two of full
# training (0.4 %), 0.89 for these and one of three epochs. Simulated: 0.6 to 1.0.
GAIN_FACTOR, GAIN_FACTOR_SD = 0.8, 0.4
MEASURED_GAIN_SD = 0.25  # relative sd of a gain measured with few seeds and extrapolated to all
LARGEST_GAIN = 0.5  # of D: the most that simulated ensembles reach
SMALLEST_STRATUM = 100  # the least confident rows; each further stratum is as large as all before


def expected_score(labels: NDArray[np.int64], predictions: EnsemblePredictions) -> ExpectedScore:
    """Return a 95 % prediction interval for the ensemble's score on its test rows.

    `labels` [N] are those of the out-of-fold rows. The derivation is at the top of this module.
    """
    oof_proba, test_by_fold = predictions.oof_proba, predictions.test_by_fold
    correct = oof_proba.argmax(axis=1) == labels
    gains, gain_sd = _gains(labels, correct, predictions)
    strata, fractions = _strata(oof_proba.max(axis=1), test_by_fold.max(axis=2).ravel())
    middle, variance = 0.0, gain_sd**2
    for stratum, fraction in enumerate(fractions):
        inside = strata == stratum
        values = correct[inside] + gains[inside]
        # No error seen does not mean none to come.
        accuracy = (correct[inside].sum() + 0.5) / (len(values) + 1)
        binomial = float(accuracy * (1 - accuracy))  # the variance of a test row
        middle += fraction * values.mean()
        variance += fraction**2 * max(float(np.var(values)), binomial) / len(values)
        variance += fraction * binomial / test_by_fold.shape[1]
    middle, half_width = min(1.0, max(0.0, middle)), Z * math.sqrt(variance)
    return ExpectedScore(
        low=float(max(0.0, middle - half_width)),
        middle=float(middle),
        high=float(min(1.0, middle + half_width)),
        gain=float(gains.mean()),
        gain_sd=gain_sd,
    )


def _gains(
    labels: NDArray[np.int64], correct: NDArray[np.bool_], predictions: EnsemblePredictions
) -> tuple[NDArray[np.float64], float]:
    """Return the gain by out-of-fold row [N], and its standard deviation besides row sampling."""
    by_seed = predictions.oof_by_seed
    test_disagreement = disagreement(predictions.test_by_fold)
    oof_disagreement = disagreement(by_seed)
    if oof_disagreement > 0:
        single = (by_seed.argmax(axis=2) == labels).mean(axis=0)
        # By Tumer and Ghosh's law, all networks gain less over n > 1 than these n gain over one.
        gains = min(1.0, (test_disagreement / oof_disagreement) ** 2) * (correct - single)
        return gains, MEASURED_GAIN_SD * abs(float(gains.mean()))
    gain = estimated_gain(test_disagreement, float((~correct).mean()), len(correct))
    return np.full(len(correct), gain), GAIN_FACTOR_SD * gain


def disagreement(probas: Proba) -> float:
    """Return the mean fraction of rows where one of `probas` [P, N, 10] differs from their mean."""
    predicted = probas.mean(axis=0).argmax(axis=1)
    return float((probas.argmax(axis=2) != predicted).mean())


def estimated_gain(disagreement: float, error: float, n_rows: int) -> float:
    """Return the gain of all members over one, from their disagreement and `n_rows` rows' error."""
    error = max(error, 1 / n_rows)  # no error seen does not mean none to come
    return min(GAIN_FACTOR * disagreement**2 / error, LARGEST_GAIN * disagreement)


def _strata(
    confidence: NDArray[np.float64], test_confidence: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each out-of-fold row's stratum [N], and the strata's fractions of the test rows."""
    ordered = np.sort(confidence)
    # Most errors are among the least confident rows, where strata are small.
    doublings = max(0, math.ceil(math.log2(len(ordered) / SMALLEST_STRATUM)))
    edges = np.unique(ordered[SMALLEST_STRATUM * 2 ** np.arange(doublings)])
    edges = edges[edges > ordered[0]]  # where many rows have the same confidence
    strata = np.searchsorted(edges, confidence, side="right")
    test_strata = np.searchsorted(edges, test_confidence, side="right")
    counts = np.bincount(test_strata, minlength=len(edges) + 1)
    return strata, counts / counts.sum()


def suspicion(score: float) -> str:
    """Return a warning for a public score that is too good, else an empty string."""
    fault = f"a public score above {SUSPICIOUS_ACCURACY} is suspicious: some labels are wrong"
    advice = "look for test rows that leaked into the training rows"
    return f"{fault}: {advice}" if score > SUSPICIOUS_ACCURACY else ""
