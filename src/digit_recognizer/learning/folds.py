"""Which rows are held out in which fold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from digit_recognizer.learning.recipe import Recipe


class TooFewRowsError(ValueError):
    """A class has fewer rows than there are folds."""


@dataclass(frozen=True, order=True)
class Member:
    """One network of the ensemble: the fold it does not train on, and its seed."""

    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The member's folder name, such as ``fold0-seed0``."""
        return f"fold{self.fold}-seed{self.seed}"


def all_members(recipe: Recipe) -> list[Member]:
    """Every member of a recipe, seed by seed."""
    return [Member(f, s) for s in range(recipe.n_seeds) for f in recipe.trained_folds]


def fold_of_rows(labels: NDArray[np.integer], n_splits: int, split_seed: int) -> NDArray[np.int64]:
    """Assign each row to the fold that holds it out, stratified by label.

    Parameters
    ----------
    labels : array, shape [N]
    n_splits : number of folds
    split_seed : seed of the shuffle

    Returns
    -------
    array, shape [N], int64, values 0 to ``n_splits - 1``

    Raises
    ------
    TooFewRowsError
        If a class has fewer rows than there are folds.
    """
    counts = np.bincount(labels)
    rarest = int(np.argmin(np.where(counts == 0, np.iinfo(np.int64).max, counts)))
    if counts[rarest] < n_splits:
        raise TooFewRowsError(
            f"label {rarest} has {counts[rarest]} training rows, fewer than {n_splits} folds:"
            " use fewer folds (--n-splits) or more rows"
        )
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=split_seed)
    for fold, (_, val_index) in enumerate(splitter.split(labels, labels)):
        folds[val_index] = fold
    return folds
