"""Disagreement of an ensemble's members, and accuracy by their number."""

from collections.abc import Sequence
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

    @property
    def is_disputed(self) -> NDArray[np.bool_]:
        """Rows [N] for which members predict different digits."""
        votes = self.members.argmax(axis=2)
        disputed: NDArray[np.bool_] = (votes != votes[0]).any(axis=0)
        return disputed


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


def accuracy_by_size(labels: NDArray[np.int64], ensemble: Ensemble) -> list[dict[str, float]]:
    """Return the accuracy of one, two, … all members.

    In each of several orders members are added in a circle, from another first one.

    Parameters
    ----------
    labels : array, shape [N]
        Known labels, if no network saw the row; or what all members predict, for the agreement.

    Returns
    -------
    ``{"members": k, "mean": …, "low": worst, "high": best}`` over the orders tried
    """
    n_members = len(ensemble.members)
    starts = np.unique(np.linspace(0, n_members, MAX_ORDERS, endpoint=False).astype(int))
    found = np.empty((n_members, len(starts)))
    for order, start in enumerate(starts):
        total, weight = np.zeros(ensemble.members.shape[1:]), 0.0
        for size, member in enumerate(np.roll(np.arange(n_members), -start)):
            total += ensemble.weights[member] * ensemble.members[member]
            weight += ensemble.weights[member]
            found[size, order] = ((total / weight).argmax(axis=1) == labels).mean()
    return [
        {"members": size, "mean": float(a.mean()), "low": float(a.min()), "high": float(a.max())}
        for size, a in enumerate(found, start=1)
    ]
