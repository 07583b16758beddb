"""What members add to each other: where they disagree, and how many are enough."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

MOST_ORDERS = 8  # orders in which members are added one by one; their figures are averaged


def disagreement(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far members contradict each other about each row, in bits.

    The entropy of their mean less the mean of their entropies: 0 where all say the same,
    however unsure, and largest where each is sure of something else. It is the mutual
    information of prediction and member (Houlsby et al. 2011, arXiv:1112.5745).

    Parameters
    ----------
    members : probabilities, shape [K, N, 10]

    Returns
    -------
    array, shape [N]
    """
    together = entr(members.mean(axis=0)).sum(axis=1)
    alone = np.mean([entr(member).sum(axis=1) for member in members], axis=0)
    bits: NDArray[np.float64] = np.maximum(together - alone, 0) / np.log(2)
    return bits


def gain_by_size(members: NDArray[np.float64]) -> list[dict[str, float]]:
    """What one, two, … all members together say of rows without labels.

    ``agreement`` is the share of rows where they say what all members together say; ``gain``
    is the accuracy expected beyond that of one member, if the mean probabilities of all are
    taken at their word, as `expectation.promised_gain` does.

    Parameters
    ----------
    members : probabilities, shape [K, N, 10]

    Returns
    -------
    ``{"members": k, "agreement": …, "gain": …}`` for k from 1 to K
    """
    whole = members.mean(axis=0)
    best, rows = whole.argmax(axis=1), np.arange(whole.shape[0])
    sums = np.zeros((len(members), 2))
    for size, mean in _growing_teams(members):
        said = mean.argmax(axis=1)
        sums[size - 1] += [(said == best).mean(), whole[rows, said].mean()]
    sums /= len(_orders(len(members)))
    return [
        {"members": size, "agreement": float(same), "gain": float(expected - sums[0, 1])}
        for size, (same, expected) in enumerate(sums, start=1)
    ]


def accuracy_by_size(
    labels: NDArray[np.int64], members: NDArray[np.float64]
) -> list[dict[str, float]]:
    """Accuracy of one, two, … all predictions of each row together.

    Parameters
    ----------
    labels : array, shape [N]
    members : probabilities, shape [K, N, 10], none by a network that saw the row

    Returns
    -------
    ``{"members": k, "accuracy": mean, "low": worst, "high": best}`` over the orders tried
    """
    found: list[list[float]] = [[] for _ in members]
    for size, mean in _growing_teams(members):
        found[size - 1].append(float((mean.argmax(axis=1) == labels).mean()))
    return [
        {
            "members": size,
            "accuracy": float(np.mean(values)),
            "low": min(values),
            "high": max(values),
        }
        for size, values in enumerate(found, start=1)
    ]


def _orders(n_members: int) -> Sequence[int]:
    """Where each order begins: members are added in a circle."""
    starts = np.linspace(0, n_members, MOST_ORDERS, endpoint=False).astype(int)
    return sorted(set(starts.tolist()))


def _growing_teams(
    members: NDArray[np.float64],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Size and mean probabilities [N, 10] of every team, order by order."""
    for start in _orders(len(members)):
        total = np.zeros(members.shape[1:])
        for size in range(1, len(members) + 1):
            total += members[(start + size - 1) % len(members)]
            yield size, total / size
