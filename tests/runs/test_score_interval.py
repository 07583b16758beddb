"""The expected score, on simulated networks: what is true of them is known."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from digit_recognizer.runs.metrics import ExpectedScore
from digit_recognizer.runs.predictions import EnsemblePredictions
from digit_recognizer.runs.score_interval import (
    estimated_gain,
    expected_score,
    suspicion,
)

Floats = NDArray[np.float64]


def ensemble(oof_by_seed: Floats, test_by_fold: Floats) -> EnsemblePredictions:
    rows = np.arange(oof_by_seed.shape[1])
    return EnsemblePredictions(
        rows, np.zeros_like(rows), oof_by_seed, test_by_fold, test_by_fold.mean(axis=0)
    )


@dataclass(frozen=True)
class World:
    """Rows of two digits, some near the border and some with a wrong label.

    A network sees a row's log-odds, which all share, with noise of its own; `noise` is the
    noise's standard deviation, `slope` the networks' confidence.
    """

    noise: float = 2.0
    wrong_labels: float = 0.01
    slope: float = 1.0

    def rows(self, rng: np.random.Generator, n_rows: int) -> tuple[Floats, NDArray[np.int64]]:
        odds = rng.uniform(-40, 40, n_rows)
        labels = (rng.random(n_rows) > expit(odds)).astype(np.int64)
        return odds, np.where(rng.random(n_rows) < self.wrong_labels, 2, labels)

    def network(self, rng: np.random.Generator, odds: Floats) -> Floats:
        seen = self.slope * (odds + self.noise * rng.normal(size=len(odds)))
        proba = np.zeros((len(odds), 10))
        proba[:, 0], proba[:, 1] = expit(seen), expit(-seen)
        return proba

    def trial(self, rng: np.random.Generator, n_seeds: int) -> bool:
        """Return whether the true score is inside the expected interval."""
        odds, labels = self.rows(rng, 1500)
        test_odds, test_labels = self.rows(rng, 1000)
        oof = np.stack([self.network(rng, odds) for _ in range(n_seeds)])
        test = np.stack([self.network(rng, test_odds) for _ in range(5 * n_seeds)])
        predictions = ensemble(oof, test.reshape(5, n_seeds, -1, 10).mean(axis=1))
        score = (predictions.test_proba.argmax(axis=1) == test_labels).mean()
        expected = expected_score(labels, predictions)
        return bool(expected.low <= score <= expected.high)


def test_over_all_worlds_it_covers_95_of_100() -> None:
    inside = 0
    for number in range(600):
        rng = np.random.default_rng(number)
        world = World(rng.uniform(0.5, 3), rng.uniform(0, 0.02), rng.uniform(0.5, 1))
        inside += world.trial(rng, n_seeds=int(rng.integers(1, 4)))
    assert 555 <= inside <= 590


def test_the_gain_is_that_which_the_simulated_ensemble_has() -> None:
    for n_seeds, uncertainty in ((1, 0.5), (2, 0.25)):
        rng, world = np.random.default_rng(0), World()
        odds, labels = world.rows(rng, 200_000)  # so many that the truth is certain
        networks = [world.network(rng, odds) for _ in range(6)]
        groups = np.reshape(networks, (6 // n_seeds, n_seeds, -1, 10)).mean(axis=1)
        predictions = ensemble(np.stack(networks[:n_seeds]), groups)
        whole = (predictions.test_proba.argmax(axis=1) == labels).mean()
        true_gain = whole - (groups.argmax(axis=2) == labels).mean()
        expected = expected_score(labels, predictions)
        assert true_gain > 0.003
        assert expected.gain == pytest.approx(true_gain, rel=uncertainty)
        assert expected.low < whole < expected.high


def test_one_member_gains_nothing() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 2000)
    test_odds, _ = world.rows(rng, 1000)
    predictions = ensemble(world.network(rng, odds)[None], world.network(rng, test_odds)[None])
    expected = expected_score(labels, predictions)
    assert expected.gain == expected.gain_sd == 0
    assert expected.low < expected.middle < expected.high


def test_no_error_seen_does_not_mean_none_to_come() -> None:
    labels = np.arange(1000) % 10
    certain = np.eye(10)[labels]
    predictions = ensemble(certain[None], np.stack([certain[:500]] * 3))
    expected = expected_score(labels, predictions)
    assert expected.middle == expected.high == 1.0
    assert 0.98 < expected.low < 0.999


def test_harder_test_rows_lower_it_and_easier_ones_raise_it() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 4000)
    alone = world.network(rng, odds)[None]
    middles = [
        expected_score(labels, ensemble(alone, world.network(rng, odds * stretch)[None])).middle
        for stretch in (0.5, 1.0, 2.0)
    ]
    assert middles == sorted(middles)
    assert middles[2] - middles[0] > 0.01


@given(
    st.integers(1, 300), st.integers(1, 200), st.integers(1, 3), st.integers(1, 4), st.integers(0)
)
def test_low_middle_and_high_are_in_order_within_zero_and_one(
    n_oof: int, n_test: int, n_seeds: int, n_groups: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    predictions = ensemble(
        rng.dirichlet(np.full(10, 0.1), (n_seeds, n_oof)),
        rng.dirichlet(np.full(10, 0.1), (n_groups, n_test)),
    )
    labels = np.where(
        rng.random(n_oof) < 0.9, predictions.oof_proba.argmax(axis=1), rng.integers(10, size=n_oof)
    )
    expected = expected_score(labels, predictions)
    assert 0 <= expected.low <= expected.middle <= expected.high <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_an_assumed_gain_is_never_more_than_half_of_the_rows_that_differ(
    differing: float, error: float, n_rows: int
) -> None:
    assert 0 <= estimated_gain(differing, error, n_rows) <= differing / 2


EXPECTED = ExpectedScore(low=0.994004, middle=0.995, high=0.995996, gain=0.0, gain_sd=0.0)


@pytest.mark.parametrize(
    ("score", "where"),
    [(0.99399, "below"), (0.99400, "inside"), (0.99600, "inside"), (0.99601, "above")],
)
def test_a_score_is_inside_where_it_may_have_been_before_it_was_rounded(
    score: float, where: str
) -> None:
    assert EXPECTED.position(score) == where


def test_only_a_score_that_the_labels_do_not_allow_is_suspicious() -> None:
    assert suspicion(0.99870) == ""
    assert suspicion(0.99871).startswith("a public score above 0.9987 is suspicious")
