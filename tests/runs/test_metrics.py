import numpy as np
import pytest

from digit_recognizer.runs.metrics import out_of_fold_scores, wilson_interval


def test_wilson_interval_is_the_published_one() -> None:
    # Newcombe 1998, Stat. Med. 17:857, table I: 81 of 263.
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_cv_report_counts_what_is_there() -> None:
    labels = np.arange(40) % 10
    proba = np.full((40, 10), 0.01)
    proba[np.arange(40), labels] = 0.91
    proba[0] = np.roll(proba[0], 1)  # row 0, a zero, is predicted as a one
    report = out_of_fold_scores(labels, np.arange(40) % 4, proba)
    assert report["n_errors"] == 1
    assert report["cv_accuracy"] == 39 / 40
    assert report["fold_accuracies"] == {"0": 0.9, "1": 1.0, "2": 1.0, "3": 1.0}
    assert report["fold_mean"] == pytest.approx(0.975)
    assert report["fold_std"] == pytest.approx(0.05)
    assert report["confusion"][0][:2] == [3, 1]
    assert report["classes"][1].precision == pytest.approx(4 / 5)
    assert report["classes"][0].recall == pytest.approx(3 / 4)
    assert report["classes"][0].support == 4
