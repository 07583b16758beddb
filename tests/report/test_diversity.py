import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from digit_recognizer.report.diversity import (
    accuracy_by_size,
    disagreement,
    ensemble_of,
)

seeds = st.integers(0, 2**32 - 1)


def members(seed: int, count: int, n_rows: int = 40) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    shared = 3 * rng.normal(size=(n_rows, 10))
    proba: NDArray[np.float64] = softmax(shared + rng.normal(size=(count, n_rows, 10)), axis=2)
    return proba


@given(seeds, st.integers(1, 6))
def test_members_that_predict_the_same_do_not_disagree(seed: int, count: int) -> None:
    one = members(seed, 1)
    assert disagreement(ensemble_of([np.repeat(one, count, axis=0)])) == pytest.approx(0, abs=1e-9)
    assert (disagreement(ensemble_of([members(seed, 2)])) > 0).all()


def test_two_members_certain_of_different_digits_disagree_by_one_bit() -> None:
    certain = np.eye(10)
    assert disagreement(ensemble_of([np.stack([certain[:1], certain[1:2]])])) == pytest.approx(1)


@given(seeds, st.integers(1, 8))
def test_accuracy_goes_from_the_mean_of_members_to_that_of_all(seed: int, count: int) -> None:
    several = members(seed, count)
    labels = np.random.default_rng(seed).integers(0, 10, several.shape[1])
    rows = accuracy_by_size(labels, ensemble_of([several]))
    single = (several.argmax(axis=2) == labels).mean(axis=1)
    whole = (several.mean(axis=0).argmax(axis=1) == labels).mean()
    assert rows[0]["mean"] == pytest.approx(single.mean())
    assert (rows[0]["low"], rows[0]["high"]) == (single.min(), single.max())
    assert rows[-1]["mean"] == pytest.approx(whole)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_parts_weigh_the_same_however_many_members_each_has(
    seed: int, one: int, other: int
) -> None:
    parts = [members(seed, one), members(seed + 1, other)]
    expected = (parts[0].mean(axis=0) + parts[1].mean(axis=0)) / 2
    np.testing.assert_allclose(ensemble_of(parts).mean_proba, expected)


@given(seeds, st.integers(1, 4))
def test_copies_of_a_parts_only_member_change_nothing(seed: int, copies: int) -> None:
    pair, single = np.split(members(seed, 3), [2])
    once, often = (
        ensemble_of([pair, single]),
        ensemble_of([pair, np.repeat(single, copies, axis=0)]),
    )
    np.testing.assert_allclose(often.mean_proba, once.mean_proba)
    np.testing.assert_allclose(disagreement(often), disagreement(once))
    labels = pair[0].argmax(axis=1)
    assert accuracy_by_size(labels, often)[-1]["mean"] == pytest.approx(
        accuracy_by_size(labels, once)[-1]["mean"]
    )
