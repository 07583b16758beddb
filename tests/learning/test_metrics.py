import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning import metrics


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_averaging_does_not_care_for_order(n_members: int, random) -> None:
    rng = np.random.default_rng(n_members)
    logits = [rng.normal(0, 5, (20, 10)).astype(np.float32) for _ in range(n_members)]
    shuffled = random.sample(logits, n_members)
    assert (metrics.mean_proba(logits) == metrics.mean_proba(shuffled)).all()


def test_probabilities_add_up_to_one() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (50, 10)).astype(np.float32)
    assert metrics.mean_proba([logits]).sum(axis=1) == pytest.approx(np.ones(50))


def test_wilson_interval_is_the_published_one() -> None:
    # Newcombe 1998, Stat. Med. 17:857, table I: 81 of 263.
    low, high = metrics.wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_cv_report_counts_what_is_there() -> None:
    labels = np.arange(40) % 10
    proba = np.full((40, 10), 0.01)
    proba[np.arange(40), labels] = 0.91
    proba[0] = np.roll(proba[0], 1)  # row 0, a zero, is taken for a one
    report = metrics.cv_report(labels, np.arange(40) % 4, proba)
    assert report["n_errors"] == 1
    assert report["cv_accuracy"] == 39 / 40
    assert report["fold_accuracies"] == {"0": 0.9, "1": 1.0, "2": 1.0, "3": 1.0}
    assert report["fold_mean"] == pytest.approx(0.975)
    assert report["fold_std"] == pytest.approx(0.05)
    assert report["confusion"][0][:2] == [3, 1]
    assert report["classes"][1]["precision"] == pytest.approx(4 / 5)
    assert report["classes"][0]["recall"] == pytest.approx(3 / 4)
    assert report["classes"][0]["support"] == 4


def test_members_that_agree_gain_nothing_and_those_that_differ_do() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 10)).astype(np.float32)
    other = rng.normal(0, 2, (500, 10)).astype(np.float32)
    assert metrics.ensemble_gain([logits, logits, logits]) == pytest.approx(0)
    assert metrics.ensemble_gain([logits, other]) > 0.01


def test_expected_score_covers_new_rows_of_the_same_kind() -> None:
    """Of 1,000 drawn pairs of out-of-fold rows and test rows, 95 % and not all are inside."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        accuracy = 1 - rng.binomial(42_000, 0.0045) / 42_000
        score = 1 - rng.binomial(28_000, 0.0045) / 28_000
        interval = metrics.expected_score(accuracy, 42_000, 28_000, gain=0.0)
        inside += interval["low"] <= score <= interval["high"]
    assert 930 <= inside <= 970


def test_expected_score_stays_within_zero_and_one() -> None:
    interval = metrics.expected_score(1.0, 100, 100, gain=0.01)
    assert 0 < interval["low"] < 1
    assert interval["high"] == 1.0
