"""Whether two classifiers differ, judged on the same rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


def mcnemar_p(hits: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that two classifiers err equally often.

    Only rows that one of them has right and the other wrong tell them apart; were they
    equally good, each such row would fall to either by a coin (McNemar 1947, Psychometrika
    12:153). Without such a row, 1.

    Parameters
    ----------
    hits, others : arrays, shape [N], bool; whether each has the same N rows right
    """
    first, second = int((hits & ~others).sum()), int((others & ~hits).sum())
    if first + second == 0:
        return 1.0
    return float(binomtest(first, first + second).pvalue)
