import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digit_recognizer.errors import TrainingError
from digit_recognizer.training.members import assign_folds


@settings(deadline=None)  # the first call imports scikit-learn
@given(
    counts=st.lists(st.integers(7, 40), min_size=10, max_size=10),
    n_splits=st.integers(2, 7),
    split_seed=st.integers(0, 2**32 - 1),
)
def test_folds_partition_the_rows_and_are_stratified(
    counts: list[int], n_splits: int, split_seed: int
) -> None:
    labels = np.repeat(np.arange(10), counts)
    folds = assign_folds(labels, n_splits, split_seed)
    assert len(folds) == len(labels)
    assert set(folds) == set(range(n_splits))
    for digit, count in enumerate(counts):
        per_fold = np.bincount(folds[labels == digit], minlength=n_splits)
        assert per_fold.sum() == count
        assert per_fold.max() - per_fold.min() <= 1


def test_the_split_seed_alone_decides_the_split() -> None:
    labels = np.arange(100) % 10
    assert (assign_folds(labels, 5, 1) == assign_folds(labels, 5, 1)).all()
    assert (assign_folds(labels, 5, 1) != assign_folds(labels, 5, 2)).any()


def test_a_class_with_fewer_rows_than_folds_is_refused() -> None:
    labels = np.array([0] * 10 + [1] * 2)
    with pytest.raises(TrainingError, match="label 1 has 2 training rows, fewer than 3 folds"):
        assign_folds(labels, 3, 0)
