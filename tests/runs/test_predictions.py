"""Members' predictions put together, `oof.csv`, and scores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.written_runs import guesses

from digit_recognizer.runs.metrics import out_of_fold_scores, wilson_interval
from digit_recognizer.runs.predictions import OutOfFold, assemble
from digit_recognizer.runs.score_interval import disagreement
from digit_recognizer.training.members import Member, Predictions


def member(val_index: list[int], predicted: list[int], predicted_test: list[int]) -> Predictions:
    logits = [
        np.log(np.eye(10, dtype=np.float32) * 0.9 + 0.01)[labels]
        for labels in (predicted, predicted_test)
    ]
    return Predictions(np.array(val_index), *logits)


RUN = {
    Member(0, 0): member([3, 1], [3, 1], [5, 5]),
    Member(1, 0): member([2, 0], [2, 0], [5, 6]),
    Member(0, 1): member([3, 1], [7, 1], [5, 5]),
    Member(1, 1): member([2, 0], [2, 0], [5, 6]),
}


def test_a_run_of_seeds_is_split_by_seeds_and_folds() -> None:
    found = assemble([RUN])
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.folds.tolist() == [1, 0, 1, 0]
    assert found.oof_by_seed.argmax(axis=2).tolist() == [[0, 1, 2, 3], [0, 1, 2, 7]]
    assert found.test_by_fold.argmax(axis=2).tolist() == [[5, 5], [5, 6]]
    assert disagreement(found.oof_by_seed) == 1 / 8  # of four rows, one is predicted 3 and 7


def test_a_blend_is_split_by_its_parts() -> None:
    other = {
        Member(0, 0): member([0], [8], [1, 2]),
        Member(1, 0): member([1], [1], [1, 2]),
        Member(2, 0): member([2, 3], [2, 3], [1, 2]),
    }
    found = assemble([RUN, other])
    assert found.oof_by_seed.argmax(axis=2).tolist() == [[0, 1, 2, 3], [8, 1, 2, 3]]
    assert found.folds.tolist() == [1, 0, 1, 0]  # of the first part
    assert found.test_by_fold.shape == (3, 2, 10)
    assert found.test_by_fold.sum(axis=2) == pytest.approx(np.ones((3, 2)))


def drawn_part(seed: int, n_splits: int) -> dict[Member, Predictions]:
    rng = np.random.default_rng(seed)
    folds = np.array_split(rng.permutation(12), n_splits)
    return {
        Member(fold, 0): Predictions(
            np.sort(rows), guesses(rows % 10, 0, rng), guesses(np.zeros(5, int), 0, rng)
        )
        for fold, rows in enumerate(folds)
    }


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(2, 4)), min_size=1, max_size=4))
def test_the_order_of_parts_changes_not_a_bit(drawn: list[tuple[int, int]]) -> None:
    parts = [drawn_part(seed, n_splits) for seed, n_splits in drawn]
    found, reversed_ = assemble(parts), assemble(parts[::-1])
    assert_array_equal(found.test_proba, reversed_.test_proba)
    assert_array_equal(found.oof_proba, reversed_.oof_proba)
    assert_allclose(found.test_proba.sum(axis=1), 1)
    assert_allclose(assemble(parts + parts).test_proba, found.test_proba)


def test_out_of_fold_rows_are_written_for_people_and_programs(tmp_path: Path) -> None:
    proba = np.full((2, 10), 0.05)
    proba[0, 3] = proba[1, 9] = 0.55
    rows, labels, folds = np.arange(2), np.array([3, 4]), np.array([0, 1])
    OutOfFold(rows, labels, folds, proba.argmax(axis=1), proba).write(tmp_path / "oof.csv")
    header, first, second = (tmp_path / "oof.csv").read_text().splitlines()
    assert header == "row,label,fold,predicted," + ",".join(f"proba_{d}" for d in range(10))
    small = "0.050000"
    assert first == ",".join(["0,3,0,3", *[small] * 3, "0.550000", *[small] * 6])
    assert second == ",".join(["1,4,1,9", *[small] * 9, "0.550000"])


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


@pytest.mark.parametrize(
    ("n_rows", "n_errors", "suspicious"),
    [(20_000, 25, True), (20_000, 27, False), (10_000, 0, False)],
)
def test_more_right_of_many_rows_than_the_labels_allow_is_suspicious(
    n_rows: int, n_errors: int, suspicious: bool
) -> None:
    labels = np.arange(n_rows) % 10
    proba = np.eye(10)[labels]
    proba[:n_errors] = np.roll(proba[:n_errors], 1, axis=1)
    assert out_of_fold_scores(labels, labels % 2, proba)["suspicious"] == suspicious
