"""The expected score, on simulated networks: what is true of them is known."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digit_recognizer.learning.coverage import Trial, resamples, tally, try_interval
from digit_recognizer.learning.expectation import (
    Apart,
    assumed_gain,
    expected_score,
    promised_gain,
    share_differing,
    take_apart,
)


@dataclass(frozen=True)
class World:
    """Rows of two digits, some near the border and some with a wrong label.

    A network sees a row's log-odds, which all share, with noise of its own; `spread` is the
    range of the log-odds, `noise` the noise's standard deviation, `slope` how sure networks are.
    """

    noise: float = 2.0
    wrong_labels: float = 0.01
    slope: float = 1.0
    spread: float = 40.0

    def rows(
        self, rng: np.random.Generator, n_rows: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        odds = rng.uniform(-self.spread, self.spread, n_rows)
        labels = (rng.random(n_rows) > 1 / (1 + np.exp(-odds))).astype(np.int64)
        return odds, np.where(rng.random(n_rows) < self.wrong_labels, 2, labels)

    def network(self, rng: np.random.Generator, odds: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = self.slope * (odds + self.noise * rng.normal(size=len(odds)))
        proba = np.zeros((len(odds), 10))
        proba[:, 0] = 1 / (1 + np.exp(-np.clip(seen, -30, 30)))
        proba[:, 1] = 1 - proba[:, 0]
        return proba

    def trial(
        self, rng: np.random.Generator, n_seeds: int, n_splits: int = 5, n_rows: int = 3000
    ) -> Trial:
        odds, labels = self.rows(rng, n_rows)
        test_odds, test_labels = self.rows(rng, n_rows * 2 // 3)
        alone = [self.network(rng, odds) for _ in range(n_seeds)]
        groups = [
            np.mean([self.network(rng, test_odds) for _ in range(n_seeds)], axis=0)
            for _ in range(n_splits)
        ]
        return try_interval(labels, Apart(np.stack(alone), np.stack(groups)), test_labels)


@pytest.mark.parametrize(
    ("world", "n_seeds"),
    [(World(), 1), (World(noise=1.0), 2), (World(slope=0.5), 3)],
    ids=["usual", "steady", "unsure"],
)
def test_in_each_world_it_covers_about_95_of_100_scores_and_is_narrower(
    world: World, n_seeds: int
) -> None:
    rng = np.random.default_rng(n_seeds)
    counts = tally([world.trial(rng, n_seeds, n_rows=2000) for _ in range(200)])
    assert 183 <= counts["inside"] <= 199
    assert counts["mean_width"] < 0.95 * counts["cautious_mean_width"]


def test_over_all_worlds_it_covers_95_of_100() -> None:
    trials = []
    for number in range(1000):
        rng = np.random.default_rng(number)
        world = World(rng.uniform(0.5, 3), rng.uniform(0, 0.02), rng.uniform(0.5, 1))
        trials.append(world.trial(rng, n_seeds=int(rng.integers(1, 4)), n_rows=1500))
    counts = tally(trials)
    assert 930 <= counts["inside"] <= 980
    assert counts["mean_width"] < 0.9 * counts["cautious_mean_width"]


def test_the_gain_is_that_which_the_simulated_ensemble_has() -> None:
    """Of 200,000 rows, so that only the estimate is uncertain, not the truth."""
    for n_seeds in (1, 2):
        rng, world = np.random.default_rng(0), World()
        odds, labels = world.rows(rng, 200_000)
        networks = [world.network(rng, odds) for _ in range(6)]
        groups = np.stack(
            [np.mean(networks[at : at + n_seeds], axis=0) for at in range(0, 6, n_seeds)]
        )
        apart = Apart(np.stack(networks[:n_seeds]), groups)
        whole = (apart.test_proba.argmax(axis=1) == labels).mean()
        true_gain = whole - (groups.argmax(axis=2) == labels).mean()
        expected = expected_score(labels, apart)
        assert true_gain > 0.003
        doubt = 0.5 if n_seeds == 1 else 0.25
        assert expected["gain"] == pytest.approx(true_gain, rel=doubt)
        assert expected["low"] < whole < expected["high"]


def certain(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(10)[labels]


def test_members_that_agree_promise_no_gain_and_those_that_differ_do() -> None:
    first, second = np.random.default_rng(0).dirichlet(np.full(10, 0.3), (2, 500))
    assert promised_gain(np.stack([first, first, first])) == pytest.approx(0)
    assert promised_gain(np.stack([first, second])) > 0.01


def test_one_member_gains_nothing() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 2000)
    test_odds, _ = world.rows(rng, 1000)
    apart = Apart(world.network(rng, odds)[None], world.network(rng, test_odds)[None])
    expected = expected_score(labels, apart)
    assert expected["gain"] == expected["gain_sd"] == 0
    assert expected["low"] < expected["middle"] < expected["high"]


def test_no_error_seen_does_not_mean_none_to_come() -> None:
    labels = np.arange(1000) % 10
    apart = Apart(certain(labels)[None], np.stack([certain(labels[:500])] * 3))
    expected = expected_score(labels, apart)
    assert expected["middle"] == expected["high"] == 1.0
    assert 0.98 < expected["low"] < 0.999


def test_it_is_wider_on_fewer_rows() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 4000)
    alone, groups = world.network(rng, odds), world.network(rng, odds[:2000])
    widths = []
    for n_oof in (4000, 1000, 250, 60):
        expected = expected_score(labels[:n_oof], Apart(alone[None, :n_oof], groups[None]))
        widths.append(expected["high"] - expected["low"])
    assert widths == sorted(widths)


def test_harder_test_rows_lower_it_and_easier_ones_raise_it() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 4000)
    alone = world.network(rng, odds)[None]
    middles = [
        expected_score(labels, Apart(alone, world.network(rng, odds * stretch)[None]))["middle"]
        for stretch in (0.5, 1.0, 2.0)
    ]
    assert middles == sorted(middles)
    assert middles[2] - middles[0] > 0.01


@given(
    st.integers(1, 300), st.integers(1, 200), st.integers(1, 3), st.integers(1, 4), st.integers(0)
)
@settings(max_examples=100, deadline=None)
def test_low_middle_and_high_are_in_order_within_zero_and_one(
    n_oof: int, n_test: int, n_seeds: int, n_groups: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    apart = Apart(
        rng.dirichlet(np.full(10, 0.1), (n_seeds, n_oof)),
        rng.dirichlet(np.full(10, 0.1), (n_groups, n_test)),
    )
    labels = np.where(
        rng.random(n_oof) < 0.9, apart.oof_proba.argmax(axis=1), rng.integers(10, size=n_oof)
    )
    expected = expected_score(labels, apart)
    assert 0 <= expected["low"] <= expected["middle"] <= expected["high"] <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_an_assumed_gain_is_never_more_than_half_of_the_rows_that_differ(
    differing: float, error: float, n_rows: int
) -> None:
    assert 0 <= assumed_gain(differing, error, n_rows) <= differing / 2


@dataclass(frozen=True)
class Answers:
    val_index: NDArray[np.int64]
    val_logits: NDArray[np.float32]
    test_logits: NDArray[np.float32]


def member(val_index: list[int], said: list[int], said_of_test: list[int]) -> Answers:
    as_logits = [
        np.log(np.eye(10, dtype=np.float32) * 0.9 + 0.01)[labels] for labels in (said, said_of_test)
    ]
    return Answers(np.array(val_index), *as_logits)


RUN = {
    "fold0-seed0": member([3, 1], [3, 1], [5, 5]),
    "fold1-seed0": member([2, 0], [2, 0], [5, 6]),
    "fold0-seed1": member([3, 1], [7, 1], [5, 5]),
    "fold1-seed1": member([2, 0], [2, 0], [5, 6]),
}


def test_a_run_of_seeds_is_taken_apart_into_seeds_and_folds() -> None:
    apart = take_apart([RUN])
    assert apart.alone.argmax(axis=2).tolist() == [[0, 1, 2, 3], [0, 1, 2, 7]]
    assert apart.groups.argmax(axis=2).tolist() == [[5, 5], [5, 6]]
    assert share_differing(apart.alone) == 1 / 8  # of four rows, one is told 3 by one and 7 by one


def test_a_blend_is_taken_apart_into_its_parts() -> None:
    other = {
        "fold0-seed0": member([0], [8], [1, 2]),
        "fold1-seed0": member([1], [1], [1, 2]),
        "fold2-seed0": member([2, 3], [2, 3], [1, 2]),
    }
    apart = take_apart([RUN, other])
    assert apart.alone.shape == (2, 4, 10)
    assert apart.alone[1].argmax(axis=1).tolist() == [8, 1, 2, 3]
    assert apart.groups.shape == (3, 2, 10)
    assert apart.groups.sum(axis=2) == pytest.approx(np.ones((3, 2)))


def test_a_run_of_some_folds_has_their_rows_only() -> None:
    apart = take_apart([{name: RUN[name] for name in ("fold1-seed0", "fold1-seed1")}])
    assert apart.alone.shape == (2, 2, 10)
    assert apart.groups.shape == (1, 2, 10)


def test_resamples_of_simulated_networks_are_covered() -> None:
    rng, world = np.random.default_rng(0), World()
    odds, labels = world.rows(rng, 4000)
    probas = np.stack([world.network(rng, odds) for _ in range(4)])
    for n_seeds in (1, 2):
        counts = tally(list(resamples(labels, probas, n_seeds, 100)))
        assert counts["inside"] + counts["below"] + counts["above"] == counts["n"] == 100
        assert 88 <= counts["inside"] < 100
