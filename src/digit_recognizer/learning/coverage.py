"""How often a score lies inside its prediction interval: single trials and their tally."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.expectation import Apart, cautious_score, expected_score

OOF_SHARE = 0.6  # of the rows of a resample, as in the competition; the others are its test rows


@dataclass(frozen=True)
class Trial:
    """One score beside its expected interval and the cautious one."""

    score: float
    low: float
    high: float
    cautious_low: float
    cautious_high: float

    @property
    def place(self) -> str:
        """Where the score lies: ``inside``, ``below`` or ``above`` the expected interval."""
        if self.low <= self.score <= self.high:
            return "inside"
        return "below" if self.score < self.low else "above"


def try_interval(
    oof_labels: NDArray[np.int64], apart: Apart, test_labels: NDArray[np.int64]
) -> Trial:
    """The intervals that a run would tell, and its score; only that knows `test_labels` [M]."""
    score = float((apart.test_proba.argmax(axis=1) == test_labels).mean())
    expected, cautious = expected_score(oof_labels, apart), cautious_score(oof_labels, apart)
    return Trial(score, expected["low"], expected["high"], cautious["low"], cautious["high"])


def resamples(
    labels: NDArray[np.int64], probas: NDArray[np.float64], n_seeds: int, n_resamples: int
) -> Iterator[Trial]:
    """Cut labelled rows into out-of-fold and test rows, again and again.

    Parameters
    ----------
    labels : array, shape [N]
    probas : array, shape [R, N, 10], out-of-fold predictions by R networks. All of them predict
        a test row; an out-of-fold row is predicted by `n_seeds` that are drawn for it, as a
        fold's rows are by some members of many. So every prediction that is counted is honest.
    n_seeds : divides R
    """
    rng = np.random.default_rng(0)
    n_oof = round(OOF_SHARE * len(labels))
    for _ in range(n_resamples):
        order = rng.permutation(len(labels))
        oof, test = order[:n_oof], order[n_oof:]
        teams = rng.permutation(len(probas)).reshape(-1, n_seeds)
        drawn = teams[rng.integers(len(teams), size=n_oof)]
        alone = np.stack([probas[networks, oof] for networks in drawn.T])
        groups = np.stack([probas[team][:, test].mean(axis=0) for team in teams])
        yield try_interval(labels[oof], Apart(alone, groups), labels[test])


def tally(trials: Sequence[Trial]) -> dict[str, Any]:
    """How many scores lie inside, below and above, and the mean widths."""
    places = [trial.place for trial in trials]
    cautious = [trial.cautious_low <= trial.score <= trial.cautious_high for trial in trials]
    return {
        "n": len(trials),
        **{place: places.count(place) for place in ("inside", "below", "above")},
        "mean_width": float(np.mean([trial.high - trial.low for trial in trials])),
        "cautious_inside": sum(cautious),
        "cautious_mean_width": float(
            np.mean([trial.cautious_high - trial.cautious_low for trial in trials])
        ),
    }
