"""What members add to each other: where they disagree, and how many are enough."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

MOST_ORDERS = 8  # orders in which members are added one by one; their figures are averaged

Proba = NDArray[np.float64]


@dataclass(frozen=True)
class Team:
    """What members say of the same rows, [K, N, 10], and how much each weighs, [K], in sum 1."""

    members: Proba
    weights: Proba

    @property
    def together(self) -> Proba:
        """What all say together [N, 10]."""
        mean: Proba = np.tensordot(self.weights, self.members, axes=1)
        return mean


def team_of(parts: Sequence[Proba]) -> Team:
    """The members of a run's parts, each [k, N, 10].

    As in the submission, the parts weigh the same, however many members each has.
    """
    weights = [np.full(len(part), 1 / (len(parts) * len(part))) for part in parts]
    return Team(np.concatenate(parts), np.concatenate(weights))


def disagreement(team: Team) -> Proba:
    """How far members contradict each other about each row, in bits.

    The entropy of their mean less the mean of their entropies: 0 where all say the same,
    however unsure, and largest where each is sure of something else. It is the mutual
    information of prediction and member (Houlsby et al. 2011, arXiv:1112.5745).

    Returns
    -------
    array, shape [N]
    """
    together = entr(team.together).sum(axis=1)
    alone = team.weights @ [entr(member).sum(axis=1) for member in team.members]
    bits: Proba = np.maximum(together - alone, 0) / np.log(2)
    return bits


def gain_by_size(team: Team) -> list[dict[str, float]]:
    """What one, two, … all members together say of rows without labels.

    ``agreement`` is the share of rows where they say what all members together say; ``gain``
    is the accuracy expected beyond that of one member, if the mean probabilities of all are
    taken at their word, as `expectation.promised_gain` does.

    Returns
    -------
    ``{"members": k, "agreement": …, "gain": …}`` for k from 1 to K
    """
    whole = team.together
    best, rows = whole.argmax(axis=1), np.arange(len(whole))
    sums = np.zeros((len(team.members), 2))
    for size, mean in _growing(team):
        said = mean.argmax(axis=1)
        sums[size - 1] += [(said == best).mean(), whole[rows, said].mean()]
    sums /= len(_orders(len(team.members)))
    return [
        {"members": size, "agreement": float(same), "gain": float(expected - sums[0, 1])}
        for size, (same, expected) in enumerate(sums, start=1)
    ]


def accuracy_by_size(labels: NDArray[np.int64], team: Team) -> list[dict[str, float]]:
    """Accuracy of one, two, … all predictions of each row together.

    Parameters
    ----------
    labels : array, shape [N]
    team : none of its probabilities is by a network that saw the row

    Returns
    -------
    ``{"members": k, "accuracy": mean, "low": worst, "high": best}`` over the orders tried
    """
    found: list[list[float]] = [[] for _ in team.members]
    for size, mean in _growing(team):
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


def _growing(team: Team) -> Iterator[tuple[int, Proba]]:
    """Size and mean probabilities [N, 10] of every smaller team and the whole, order by order."""
    n_members = len(team.members)
    for start in _orders(n_members):
        total, weight = np.zeros(team.members.shape[1:]), 0.0
        for size in range(1, n_members + 1):
            place = (start + size - 1) % n_members
            total += team.weights[place] * team.members[place]
            weight += team.weights[place]
            yield size, total / weight
