"""Calibration: reliability bins, expected calibration error, temperature scaling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from digit_recognizer.runs.metrics import wilson_interval
from digit_recognizer.runs.predictions import Proba

N_BINS = 15  # as in Guo et al. 2017
MIN_PROBA = 1e-7  # a probability of 0 has no logarithm; oof.csv keeps 6 decimals
LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence is in ``(low, high]``; the 95 % interval is that of their accuracy."""

    low: float
    high: float
    n_rows: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


def reliability(labels: NDArray[np.int64], proba: Proba) -> list[Bin]:
    """Return the rows in `N_BINS` equal bins of confidence; empty bins are left out.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10]
    """
    confidence = proba.max(axis=1)
    correct = proba.argmax(axis=1) == labels
    edges = np.linspace(0, 1, N_BINS + 1)
    bin_of_row = np.clip(np.searchsorted(edges, confidence) - 1, 0, N_BINS - 1)
    bins = []
    for number in np.unique(bin_of_row):
        inside = bin_of_row == number
        low, high = edges[number : number + 2].tolist()
        n_rows, n_correct = int(inside.sum()), int(correct[inside].sum())
        interval = wilson_interval(n_correct, n_rows)
        mean = float(confidence[inside].mean())
        bins.append(Bin(low, high, n_rows, mean, n_correct / n_rows, interval))
    return bins


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, by rows.

    Guo, Pleiss, Sun, Weinberger 2017: On calibration of modern neural networks, ICML.
    """
    gaps = [abs(item.confidence - item.accuracy) for item in bins]
    return float(np.average(gaps, weights=[item.n_rows for item in bins]))


def fit_temperature(labels: NDArray[np.int64], proba: Proba) -> float:
    """Return the temperature, 0.05 to 20, that gives these rows the smallest log loss.

    Above 1 the probabilities are overconfident, below 1 underconfident.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10]
    """
    logits = _logits(proba)
    of_label = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float((logsumexp(logits / temperature, axis=1) - of_label / temperature).mean())

    found = minimize_scalar(
        loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-3}
    )
    return float(np.exp(found.x))


def rescaled(proba: Proba, temperature: float) -> Proba:
    """Return probabilities [N, 10] at another temperature; the predicted digits stay the same."""
    scaled: Proba = softmax(_logits(proba) / temperature, axis=1)
    return scaled


def rescaled_out_of_fold(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: Proba
) -> tuple[Proba, list[float]]:
    """Return each fold's probabilities at the temperature that is fitted on the other folds.

    So a row's own label has no part in its temperature. Where all rows are of one fold, even and
    odd rows stand in for folds.

    Parameters
    ----------
    labels, folds : arrays, shape [N]
    proba : array, shape [N, 10], each row's from members that never saw it

    Returns
    -------
    probabilities, shape [N, 10], and the temperatures, one for each fold
    """
    if len(np.unique(folds)) == 1:
        folds = np.arange(len(labels)) % 2
    scaled = np.empty_like(proba)
    temperatures = []
    for fold in np.unique(folds):
        own = folds == fold
        temperatures.append(fit_temperature(labels[~own], proba[~own]))
        scaled[own] = rescaled(proba[own], temperatures[-1])
    return scaled, temperatures


def _logits(proba: Proba) -> Proba:
    logits: Proba = np.log(np.clip(proba, MIN_PROBA, 1))
    return logits
