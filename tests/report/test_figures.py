"""Figures of a report that ``cv.json`` lacks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from support.desk import cv_report
from support.small import images

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.report import figures
from digit_recognizer.report.figures import ScoreAxis, reliability
from digit_recognizer.runs.metrics import ExpectedScore, wilson_interval
from digit_recognizer.runs.predictions import OutOfFold

REAL = replace(
    cv_report(0.9958571, may_submit=True),
    cv_interval=(0.9946, 0.9968),
    expected_score=ExpectedScore(0.99519, 0.9963951, 0.99762, 0.0003812, 0.0001),
)
fractions = st.floats(0, 1)


@given(fractions, fractions, st.floats(-0.1, 0.1))
def test_the_terms_of_the_sum_add_up_as_they_are_shown(
    start: float, middle: float, gain: float
) -> None:
    cv = replace(REAL, cv_accuracy=start, expected_score=ExpectedScore(0, middle, 1, gain, 0))
    terms = [f"{term:.5f}" for term in (start, figures.effect_of_test_rows(cv), gain)]
    assert sum(map(float, terms)) == pytest.approx(float(f"{middle:.5f}"), abs=1e-9)
    assert "-0.00000" not in terms[1]


@given(st.floats(0, 0.99), st.none() | fractions)
def test_every_score_lies_on_the_axis(low: float, public: float | None) -> None:
    axis = ScoreAxis(replace(REAL, cv_interval=(low, low + 0.01)), public)
    for score in (low, low + 0.01, 0.99519, 0.99762, *([] if public is None else [public])):
        assert 0 < float(axis.at(score).rstrip("%")) < 100
    assert 1 <= len(axis.ticks) <= 7
    assert all(axis.low <= float(tick) <= min(1, axis.high) for tick in axis.ticks)


def test_the_ticks_of_a_real_run_are_round() -> None:
    assert ScoreAxis(REAL, None).ticks == ["0.995", "0.996", "0.997"]


@given(st.integers(0, 2**32 - 1))
def test_bins_hold_every_row_once_and_lie_around_their_confidence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    proba = softmax(2 * rng.normal(size=(50, 10)), axis=1)
    labels = np.where(rng.random(50) < 0.7, proba.argmax(axis=1), rng.integers(0, 10, 50))
    bins = reliability(labels, proba)
    assert bins["n_rows"].sum() == 50
    n_correct = bins["accuracy"] * bins["n_rows"]
    assert n_correct.sum() == pytest.approx((proba.argmax(axis=1) == labels).sum())
    assert (bins["confidence"] * figures.N_BINS <= bins.index + 1e-9).all()
    assert (bins["confidence"] * figures.N_BINS >= bins.index - 1 - 1e-9).all()
    for item in bins.itertuples():
        n_right = round(item.accuracy * item.n_rows)
        assert (item.low, item.high) == wilson_interval(n_right, item.n_rows)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    proba = np.full((10, 10), 0.2 / 9)
    proba[:, 3] = 0.8
    labels = np.array([3] * 8 + [4] * 2)
    assert figures.calibration_error(reliability(labels, proba)) == pytest.approx(0)
    labels[:3] = 5
    assert figures.calibration_error(reliability(labels, proba)) == pytest.approx(0.3)


def test_labels_that_were_swapped_are_found_and_few_others() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 10, 2000)
    proba = softmax(rng.normal(size=(2000, 10)) + 7 * np.eye(10)[true], axis=1)
    swapped = rng.choice(2000, 40, replace=False)
    labels = true.copy()
    labels[swapped] = (true[swapped] + rng.integers(1, 10, 40)) % 10
    found = figures.probable_label_errors(labels, proba)
    assert len(set(found) & set(swapped)) >= 32
    assert len(found) <= 42
    assert (np.diff(proba[found, labels[found]]) >= 0).all()


def test_an_image_with_two_labels_is_an_issue_where_the_prediction_is_another() -> None:
    image = images(4)
    data = Dataset(image[[0, 1, 0, 2, 3, 3]], np.array([5, 1, 6, 2, 4, 4]), image[:1])
    predicted = np.array([6, 0, 6, 2, 3, 3])
    proba = np.eye(10)[predicted]
    oof = OutOfFold(np.arange(6), data.labels, np.zeros(6, dtype=np.int64), predicted, proba)
    assert figures.contradictory_labels(data, oof).tolist() == [0]


@pytest.mark.parametrize("labels", [np.full(100, 3), np.arange(100) % 10])
def test_nothing_is_suspected_where_networks_and_labels_agree_or_all_labels_are_the_same(
    labels: NDArray[np.int64],
) -> None:
    proba = np.full((100, 10), 0.01) + 0.9 * np.eye(10)[np.arange(100) % 10]
    assert len(figures.probable_label_errors(labels, proba)) == 0
