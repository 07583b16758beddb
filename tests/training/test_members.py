import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import TrainingError
from digit_recognizer.training.members import assign_folds
from digit_recognizer.training.recipe import Recipe


def distinct(labels: NDArray[np.int64]) -> Dataset:
    """Rows of these labels, each with an image of its own."""
    images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    images[:, 0, :8] = np.arange(len(labels), dtype=">u8").view(np.uint8).reshape(-1, 8)
    return Dataset(images, labels, images[:1])


def test_a_class_with_fewer_rows_than_folds_is_refused() -> None:
    data = distinct(np.array([0] * 10 + [1] * 2))
    with pytest.raises(TrainingError, match="label 1 has 2 distinct training images, fewer than 3"):
        assign_folds(data, Recipe(n_splits=3))


@given(
    copies=st.lists(st.integers(1, 5), min_size=60, max_size=60),
    split_seed=st.integers(0, 2**32 - 1),
)
def test_identical_images_are_in_one_fold_and_each_fold_has_as_many_distinct_ones(
    copies: list[int], split_seed: int
) -> None:
    once = distinct(np.arange(60) % 10)
    rows = np.random.default_rng(split_seed).permutation(np.repeat(np.arange(60), copies))
    data = Dataset(once.images[rows], once.labels[rows], once.test_images)
    folds = assign_folds(data, Recipe(n_splits=3, split_seed=split_seed))
    by_image = [set(folds[rows == image]) for image in range(60)]
    assert all(len(found) == 1 for found in by_image)
    of_digit = np.array([found.pop() for found in by_image]).reshape(6, 10)
    assert (np.sort(of_digit, axis=0) == np.repeat(np.arange(3), 2)[:, None]).all()
    assert data.n_duplicates == len(rows) - 60


def test_where_all_images_are_distinct_the_folds_are_those_of_stratified_k_fold() -> None:
    """So the split seed decides the split, and nothing else does."""
    data = distinct(np.random.default_rng(0).integers(0, 10, 500))
    splits = StratifiedKFold(5, shuffle=True, random_state=7).split(data.labels, data.labels)
    folds = assign_folds(data, Recipe(n_splits=5, split_seed=7))
    for fold, (_, held_out) in enumerate(splits):
        assert (np.flatnonzero(folds == fold) == held_out).all()
