from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.desk import cv_report

from digit_recognizer.report.headline import ScoreAxis, score_sum
from digit_recognizer.runs.metrics import ExpectedScore

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
    expected = ExpectedScore(0, middle, 1, gain, 0)
    terms = score_sum(replace(REAL, cv_accuracy=start, expected_score=expected))
    shown = [f"{terms[key]:.5f}" for key in ("start", "mix", "gain", "total")]
    assert sum(map(float, shown[:3])) == pytest.approx(float(shown[3]), abs=1e-9)
    assert shown[3] == f"{middle:.5f}" or abs(middle - terms["total"]) <= 5e-6


@given(st.floats(0, 0.99), st.none() | fractions)
def test_every_score_lies_on_the_axis(low: float, public: float | None) -> None:
    cv = replace(REAL, cv_interval=(low, low + 0.01))
    axis = ScoreAxis.of(cv, public)
    for score in (low, low + 0.01, 0.99519, 0.99762, *([] if public is None else [public])):
        assert 0 < float(axis.at(score).rstrip("%")) < 100
    assert 1 <= len(axis.ticks) <= 7
    assert all(axis.low <= tick <= min(1, axis.high) for tick, _ in axis.ticks)
    assert all(float(text) == pytest.approx(tick) for tick, text in axis.ticks)


def test_the_ticks_of_a_real_run_are_round() -> None:
    assert [text for _, text in ScoreAxis.of(REAL, None).ticks] == ["0.995", "0.996", "0.997"]
