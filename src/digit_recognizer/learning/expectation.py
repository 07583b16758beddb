"""What score to expect of a submission, and how surely.

Out-of-fold rows tell how accurate a part of the ensemble is: the one member that never saw the
row, or with several seeds their mean. The submission is the mean of all members. So the score
to expect is the out-of-fold accuracy, plus what all members gain over a part; around it lie the
noise of the out-of-fold rows, that of the test rows, and the uncertainty of the gain. Members
see (n_splits - 1) / n_splits of the rows in both figures, so nothing is corrected for that; and
both come from the same networks, so that their luck does not come between the two: given the
networks, rows are independent, and the variances of the two sets of rows add.

*The gain.* Take rows near the border between two digits, with log-odds t spread evenly at
density f, labels that follow them, and networks that see t with independent normal noise of
variance v, the mean of n of them with v / n. A part then differs from the whole in a share
D = f sqrt(2 v' / pi) of the rows, v' being the variance that the whole is rid of, and is less
accurate by f v' / 4: the gain grows as D squared. (As v' = v (1/n - 1/N), it is also Tumer and
Ghosh's law, Pattern Recognition 29:341, 1996, that the added error falls as 1/n.) D is counted
on the test rows and needs no label. The factor of D squared is measured on out-of-fold rows
where these have several networks each (seeds, or the parts of a blend): their mean against each
alone. Where they have one, it is pi / (8 f) with f from the error: even log-odds alone would
make an error of 2 f ln 2, and the factor 0.54 / error. Labels that are wrong, whatever a network
says, belong to the error but not to f: see `FACTOR`.

*The rows.* Test rows may be harder or easier than the out-of-fold rows, and the networks see
it: out-of-fold hits are counted by how sure the networks are, and weighted by how many test rows
are that sure (post-stratification: Holt and Smith 1979, J. R. Stat. Soc. A 142:33). Noise is
then that within the strata.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.metrics import Z, mean_proba

# Gain * error / D^2 of a one-seed run, and its relative standard deviation. Measured on 42,000
# out-of-fold rows: 0.82 for five networks of one epoch (1.2 % errors), 0.91 for two of full
# training (0.4 %), 0.89 for these and one of three epochs. Simulated: 0.6 to 1.0.
FACTOR, FACTOR_DOUBT = 0.8, 0.4
LAW_DOUBT = 0.25  # relative sd of a gain that is measured with few seeds and carried to all
LARGEST_SHARE = 0.5  # of the rows D: the gain that simulated ensembles reach at most
SMALLEST_STRATUM = 100  # the least sure rows; each further stratum is as large as all before

Proba = NDArray[np.float64]


class MemberPredictions(Protocol):
    """What a member says of its held-out rows and of the test rows."""

    @property
    def val_index(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def val_logits(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def test_logits(self) -> NDArray[np.float32]: ...  # noqa: D102


@dataclass(frozen=True)
class Apart:
    """An ensemble's predictions in parts, as far as out-of-fold rows have them apart.

    ``alone`` [S, N, 10]: the S networks (one for each seed; of a blend, its parts) that predict
    an out-of-fold row; their mean is the out-of-fold prediction. ``groups`` [G, M, 10]: the
    means, on the test rows, of networks as many and of the same kind; their mean is the
    submission.
    """

    alone: Proba
    groups: Proba

    @property
    def oof_proba(self) -> Proba:
        """The out-of-fold predictions [N, 10]."""
        mean: Proba = self.alone.mean(axis=0)
        return mean

    @property
    def test_proba(self) -> Proba:
        """The submission [M, 10]."""
        mean: Proba = self.groups.mean(axis=0)
        return mean


def take_apart(parts: Sequence[Mapping[str, MemberPredictions]]) -> Apart:
    """Take a run apart, or a blend of several; each maps names as `Member.name` to predictions.

    Out-of-fold rows are in order. A blend whose parts have different numbers of folds has as
    many groups as the largest; members of the others serve in several.
    """
    if len(parts) == 1:
        return Apart(by_seed(parts[0]), _by_fold(parts[0]))
    alone = np.stack([by_seed(members).mean(axis=0) for members in parts])
    folds = [_by_fold(members) for members in parts]
    places = range(max(map(len, folds)))
    groups = [np.mean([part[place % len(part)] for part in folds], axis=0) for place in places]
    return Apart(alone, np.stack(groups))


def held_out_rows(members: Mapping[str, MemberPredictions]) -> NDArray[np.int64]:
    """The rows [N] that an ordinary run's out-of-fold predictions are of, in order."""
    return np.unique(np.concatenate([member.val_index for member in members.values()]))


def by_seed(members: Mapping[str, MemberPredictions]) -> Proba:
    """Probabilities [S, N, 10] of the held-out rows of an ordinary run, by each seed's members."""
    seeds: dict[str, list[MemberPredictions]] = {}
    for name, member in members.items():
        seeds.setdefault(name.split("-")[1], []).append(member)
    return np.stack([_in_order(folds) for folds in seeds.values()])


def _in_order(folds: list[MemberPredictions]) -> Proba:
    rows = np.concatenate([member.val_index for member in folds])
    logits = np.concatenate([member.val_logits for member in folds])
    return mean_proba([logits[np.argsort(rows)]])


def _by_fold(members: Mapping[str, MemberPredictions]) -> Proba:
    folds: dict[str, list[NDArray[np.float32]]] = {}
    for name, member in members.items():
        folds.setdefault(name.split("-")[0], []).append(member.test_logits)
    return np.stack([mean_proba(logits) for logits in folds.values()])


def expected_score(labels: NDArray[np.int64], apart: Apart) -> dict[str, float]:
    """A 95 % prediction interval for the score of an ensemble on its test rows.

    Parameters
    ----------
    labels : array, shape [N], of the out-of-fold rows; `apart` holds no label

    Returns
    -------
    dict
        ``low``, ``middle`` and ``high``; ``gain``, by how much the whole is expected to be more
        accurate than an out-of-fold prediction, and ``gain_sd``, how surely. The derivation
        stands at the top of this module.
    """
    hits = apart.oof_proba.argmax(axis=1) == labels
    gains, gain_sd = _gains(labels, hits, apart)
    strata, shares = _strata(apart)
    middle, variance = 0.0, gain_sd**2
    for stratum, share in enumerate(shares):
        inside = strata == stratum
        middle += share * (hits[inside] + gains[inside]).mean()
        of_oof, of_test = _noise(hits[inside], gains[inside])
        variance += share**2 * of_oof / inside.sum() + share * of_test / apart.groups.shape[1]
    middle, half = min(1.0, max(0.0, middle)), Z * math.sqrt(variance)
    return {
        "low": float(max(0.0, middle - half)),
        "middle": float(middle),
        "high": float(min(1.0, middle + half)),
        "gain": float(gains.mean()),
        "gain_sd": gain_sd,
    }


def _gains(
    labels: NDArray[np.int64], hits: NDArray[np.bool_], apart: Apart
) -> tuple[NDArray[np.float64], float]:
    """The gain, as a mean over out-of-fold rows [N], and what is uncertain besides the rows."""
    differing = share_differing(apart.groups)
    differing_oof = share_differing(apart.alone)
    if differing_oof > 0:
        alone = (apart.alone.argmax(axis=2) == labels).mean(axis=0)
        # By the law, going from n > 1 networks to all gains less than going from one to n did.
        gains = min(1.0, (differing / differing_oof) ** 2) * (hits - alone)
        return gains, LAW_DOUBT * abs(float(gains.mean()))
    gain = assumed_gain(differing, float((~hits).mean()), len(hits))
    return np.full(len(hits), gain), FACTOR_DOUBT * gain


def share_differing(parts: Proba) -> float:
    """Mean share of rows whose label by a part [P, N, 10] is not that by the mean of all."""
    whole = parts.mean(axis=0).argmax(axis=1)
    return float((parts.argmax(axis=2) != whole).mean())


def assumed_gain(differing: float, error: float, n_rows: int) -> float:
    """Gain of all members over one, from their disagreement and the error of `n_rows` rows."""
    floor = 1 / n_rows  # no error seen does not mean none to come
    return min(FACTOR * differing**2 / max(error, floor), LARGEST_SHARE * differing)


def _strata(apart: Apart) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each out-of-fold row's stratum of sureness [N], and the strata's shares of test rows."""
    sure, test_sure = apart.oof_proba.max(axis=1), apart.groups.max(axis=2).ravel()
    ordered = np.sort(sure)
    # The largest share of the errors is among the least sure rows, where strata are small.
    doublings = max(0, math.ceil(math.log2(len(ordered) / SMALLEST_STRATUM)))
    edges = np.unique(ordered[SMALLEST_STRATUM * 2 ** np.arange(doublings)])
    edges = edges[edges > ordered[0]]  # where many rows are just as sure
    strata = np.searchsorted(edges, sure, side="right")
    counts = np.bincount(np.searchsorted(edges, test_sure, side="right"), minlength=len(edges) + 1)
    return strata, counts / counts.sum()


def _noise(hits: NDArray[np.bool_], gains: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of an out-of-fold row's hit and gain, and of a test row's hit, in a stratum."""
    share = (hits.sum() + 0.5) / (len(hits) + 1)  # no error seen does not mean none to come
    of_hit = float(share * (1 - share))
    return max(float(np.var(hits + gains)), of_hit), of_hit


def cautious_score(labels: NDArray[np.int64], apart: Apart) -> dict[str, float]:
    """A simpler and wider interval, to compare with.

    The noise of both sets of rows around the out-of-fold accuracy; at the lower end all members
    gain nothing over a part, at the upper end twice what their mean probabilities promise.
    """
    accuracy = float((apart.oof_proba.argmax(axis=1) == labels).mean())
    n_oof, n_test = len(labels), apart.groups.shape[1]
    gain = promised_gain(apart.groups)
    error = max(1 - accuracy, 1 / n_oof)
    noise = Z * math.sqrt(error * (1 - error) * (1 / n_test + 1 / n_oof))
    low, high = accuracy - noise, accuracy + 2 * gain + noise
    return {"low": max(0.0, low), "middle": min(1.0, accuracy + gain), "high": min(1.0, high)}


def promised_gain(parts: Proba) -> float:
    """What the whole gains over a part of it, taking its mean probabilities at their word.

    Parameters
    ----------
    parts : array, shape [P, N, 10]; rows need no label
    """
    whole, rows = parts.mean(axis=0), np.arange(parts.shape[1])
    alone = np.mean([whole[rows, part.argmax(axis=1)].mean() for part in parts])
    return float(whole.max(axis=1).mean() - alone)
