"""Disagreement of an ensemble's members, and accuracy by their number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from digit_recognizer.runs.predictions import Proba

MAX_ORDERS = 8  # orders in which members are added one by one; their figures are averaged


@dataclass(frozen=True)
class Ensemble:
    """Members' probabilities of the same rows, [K, N, 10], and their weights, [K], in sum 1."""

    members: Proba
    weights: Proba

    @property
    def mean_proba(self) -> Proba:
        """The weighted mean of the members' probabilities [N, 10]."""
        mean: Proba = np.tensordot(self.weights, self.members, axes=1)
        return mean


def ensemble_of(parts: Sequence[Proba]) -> Ensemble:
    """Return the ensemble of a run's parts, each [k, N, 10].

    As in the submission, the parts weigh the same, however many members each has.
    """
    weights = [np.full(len(part), 1 / (len(parts) * len(part))) for part in parts]
    return Ensemble(np.concatenate(parts), np.concatenate(weights))


def disagreement(ensemble: Ensemble) -> Proba:
    """Return the disagreement of the members about each row [N], in bits.

    The entropy of their mean less the mean of their entropies: 0 where all predict the same
    probabilities, and largest where each is confident of another digit. It is the mutual
    information of prediction and member (Houlsby et al. 2011, arXiv:1112.5745).
    """
    of_mean = entr(ensemble.mean_proba).sum(axis=1)
    of_members = ensemble.weights @ [entr(member).sum(axis=1) for member in ensemble.members]
    bits: Proba = np.maximum(of_mean - of_members, 0) / np.log(2)
    return bits


def gain_by_size(ensemble: Ensemble) -> list[dict[str, float]]:
    """Return figures of one, two, … all members on rows without labels.

    ``agreement`` is the fraction of rows where they predict what all members predict; ``gain``
    is the accuracy expected beyond that of one member, if the mean probabilities of all are
    calibrated.

    Returns
    -------
    ``{"members": k, "agreement": …, "gain": …}`` for k from 1 to K
    """
    mean = ensemble.mean_proba
    by_all, rows = mean.argmax(axis=1), np.arange(len(mean))

    def figures(predicted: NDArray[np.int64]) -> list[float]:
        return [(predicted == by_all).mean(), mean[rows, predicted].mean()]

    means = _by_size(ensemble, figures).mean(axis=1)  # [K, 2]
    return [
        {"members": size, "agreement": float(agreement), "gain": float(expected - means[0, 1])}
        for size, (agreement, expected) in enumerate(means, start=1)
    ]


def accuracy_by_size(labels: NDArray[np.int64], ensemble: Ensemble) -> list[dict[str, float]]:
    """Return the accuracy of one, two, … all members.

    Parameters
    ----------
    labels : array, shape [N]
    ensemble : none of its probabilities is by a network that saw the row

    Returns
    -------
    ``{"members": k, "accuracy": mean, "low": worst, "high": best}`` over the orders tried
    """
    found = _by_size(ensemble, lambda predicted: [(predicted == labels).mean()])
    return [
        {
            "members": size,
            "accuracy": float(a.mean()),
            "low": float(a.min()),
            "high": float(a.max()),
        }
        for size, a in enumerate(found[..., 0], start=1)
    ]


def _by_size(
    ensemble: Ensemble, figures: Callable[[NDArray[np.int64]], Sequence[float]]
) -> NDArray[np.float64]:
    """Return `figures` of the predictions [N] of growing ensembles, [K, orders, n_figures].

    In each order members are added in a circle, from another first one.
    """
    n_members = len(ensemble.members)
    starts = np.unique(np.linspace(0, n_members, MAX_ORDERS, endpoint=False).astype(int))
    found = []
    for start in starts:
        total, weight = np.zeros(ensemble.members.shape[1:]), 0.0
        for member in np.roll(np.arange(n_members), -start):
            total += ensemble.weights[member] * ensemble.members[member]
            weight += ensemble.weights[member]
            found.append(figures((total / weight).argmax(axis=1)))
    return np.array(found).reshape(len(starts), n_members, -1).swapaxes(0, 1)
