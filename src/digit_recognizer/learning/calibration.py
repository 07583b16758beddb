"""Whether a probability means what it says, and the one number that mends most of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

N_BINS = 15  # as in Guo et al. 2017
SMALLEST = 1e-7  # a probability of 0 has no logarithm; oof.csv keeps 6 decimals
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence lies in ``(low, high]``: how many, mean confidence, hits."""

    low: float
    high: float
    n_rows: int
    confidence: float
    hits: int


def reliability(labels: NDArray[np.int64], proba: NDArray[np.float64]) -> list[Bin]:
    """Rows by the probability of their best guess, in `N_BINS` equal steps; empty ones left out.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10]
    """
    confidence = proba.max(axis=1)
    hits = proba.argmax(axis=1) == labels
    edges = np.linspace(0, 1, N_BINS + 1)
    places = np.clip(np.searchsorted(edges, confidence) - 1, 0, N_BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        bins.append(
            Bin(
                float(edges[place]),
                float(edges[place + 1]),
                int(inside.sum()),
                float(confidence[inside].mean()),
                int(hits[inside].sum()),
            )
        )
    return bins


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: the mean gap of confidence and accuracy, by rows.

    Guo, Pleiss, Sun, Weinberger 2017: On calibration of modern neural networks, ICML.
    """
    n_rows = sum(item.n_rows for item in bins)
    return sum(abs(item.confidence * item.n_rows - item.hits) for item in bins) / n_rows


def fit_temperature(labels: NDArray[np.int64], proba: NDArray[np.float64]) -> float:
    """The temperature that gives these rows the smallest log loss, 0.05 to 20.

    Above 1 the probabilities were too sure of themselves, below 1 not sure enough.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10]
    """

    def loss(log_temperature: float) -> float:
        return log_loss(labels, rescaled(proba, np.exp(log_temperature)))

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def log_loss(labels: NDArray[np.int64], proba: NDArray[np.float64]) -> float:
    """Mean of minus the logarithm of what each label [N] was given by `proba` [N, 10]."""
    given = np.take_along_axis(proba, labels[:, None], axis=1)
    return -float(np.log(np.clip(given, SMALLEST, 1)).mean())


def rescaled(proba: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities [N, 10] at another temperature; the best guess stays the best."""
    scaled: NDArray[np.float64] = softmax(np.log(np.clip(proba, SMALLEST, 1)) / temperature, axis=1)
    return scaled


def rescaled_out_of_fold(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[float]]:
    """Each fold's probabilities at the temperature that the other folds ask for.

    A row's own label so has no part in the temperature that it is scored with. Where all rows
    are of one fold, its two halves take the place of folds.

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
