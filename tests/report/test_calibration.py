import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from digit_recognizer.report.calibration import (
    calibration_error,
    fit_temperature,
    reliability,
    rescaled,
    rescaled_out_of_fold,
)
from digit_recognizer.runs.metrics import wilson_interval

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, n_rows: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and these made sharper than they are."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n_rows, 10))
    labels = np.array([rng.choice(10, p=row) for row in softmax(logits, axis=1)])
    return labels, softmax(sharpness * logits, axis=1)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_probabilities_overconfident(sharpness: float) -> None:
    labels, proba = drawn(0, 4000, sharpness)
    assert fit_temperature(labels, proba) == pytest.approx(sharpness, rel=0.06)


@given(seeds, st.floats(0.1, 10))
def test_scaling_changes_the_confidence_but_not_the_prediction(
    seed: int, temperature: float
) -> None:
    _, proba = drawn(seed, 30)
    scaled = rescaled(proba, temperature)
    assert scaled.sum(axis=1) == pytest.approx(1)
    assert (scaled.argmax(axis=1) == proba.argmax(axis=1)).all()


@given(seeds, st.integers(0, 2))
def test_the_labels_of_a_fold_have_no_part_in_its_own_scaling(seed: int, fold: int) -> None:
    labels, proba = drawn(seed, 60)
    folds = np.arange(60) % 3
    others = np.where(folds == fold, (labels + 1) % 10, labels)
    before, _ = rescaled_out_of_fold(labels, folds, proba)
    after, _ = rescaled_out_of_fold(others, folds, proba)
    assert (before[folds == fold] == after[folds == fold]).all()


def test_scaling_out_of_fold_improves_calibration_even_with_one_fold() -> None:
    labels, proba = drawn(1, 3000, sharpness=3)
    scaled, temperatures = rescaled_out_of_fold(labels, np.zeros(3000, dtype=np.int64), proba)
    assert len(temperatures) == 2
    before, after = (calibration_error(reliability(labels, p)) for p in (proba, scaled))
    assert after < before / 3
    assert log_loss(labels, scaled) < log_loss(labels, proba)


@given(seeds)
def test_bins_hold_every_row_once_and_lie_around_their_confidence(seed: int) -> None:
    labels, proba = drawn(seed, 50)
    bins = reliability(labels, proba)
    assert sum(item.n_rows for item in bins) == 50
    correct = sum(item.accuracy * item.n_rows for item in bins)
    assert correct == pytest.approx((proba.argmax(axis=1) == labels).sum())
    for item in bins:
        assert item.low - 1e-9 <= item.confidence <= item.high + 1e-9
        assert item.interval == wilson_interval(round(item.accuracy * item.n_rows), item.n_rows)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    proba = np.full((10, 10), 0.2 / 9)
    proba[:, 3] = 0.8
    labels = np.array([3] * 8 + [4] * 2)
    assert calibration_error(reliability(labels, proba)) == pytest.approx(0)
    labels[:3] = 5
    assert calibration_error(reliability(labels, proba)) == pytest.approx(0.3)
