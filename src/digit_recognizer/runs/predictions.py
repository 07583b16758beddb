"""Combined predictions of members: out-of-fold rows, test rows, and ``oof.csv``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.files import write_csv
from digit_recognizer.training.members import Member, Predictions

Proba = NDArray[np.float64]
Logits = NDArray[np.float32]
COLUMNS = ["row", "label", "fold", "predicted", *(f"proba_{digit}" for digit in range(10))]


def check_predictions(item: Predictions) -> None:
    """Raise ValueError unless the arrays of a member have its types and shapes."""
    rows = item.val_index
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError("val_index is not a list of whole numbers")
    for name, n_rows in (("val_logits", len(rows)), ("test_logits", len(item.test_logits))):
        logits = getattr(item, name)
        if logits.dtype != np.float32 or logits.shape != (n_rows, 10):
            raise ValueError(f"{name} is {logits.dtype} {logits.shape}")
        if not np.isfinite(logits).all():
            raise ValueError(f"{name} is not finite")


def mean_proba(logits: Sequence[Logits]) -> Proba:
    """Return the mean of the softmaxes of several logits [N, 10]."""
    from scipy.special import softmax  # 0.15 s, which --help does without

    return _sorted_mean([softmax(item.astype(np.float64), axis=1) for item in logits])


def blend_proba(parts: Iterable[Sequence[Logits]]) -> Proba:
    """Return the mean [N, 10] over parts, equally weighted, of their members' mean probabilities."""
    return _sorted_mean([mean_proba(logits) for logits in parts])


def _sorted_mean(probas: Sequence[Proba] | Proba) -> Proba:
    # Sums of sorted numbers are the same to the last bit, whatever the order of the members.
    return np.asarray(np.sort(probas, axis=0).mean(axis=0))


@dataclass(frozen=True)
class EnsemblePredictions:
    """Combined predictions of the members of a run, or of all parts of a blend.

    A group of `test_by_fold` combines as many members as predict an out-of-fold row: those of one
    fold, in a blend of one fold of each part.
    """

    rows: NDArray[np.int64]  # [N] the training rows that were held out, ascending
    folds: NDArray[np.int64]  # [N] the fold that held each out; in a blend, in its first part
    oof_by_seed: Proba  # [S, N, 10] by each seed's members; in a blend, by each part
    test_by_fold: Proba  # [G, M, 10]
    test_proba: Proba  # [M, 10] by all members: the submission

    @property
    def oof_proba(self) -> Proba:
        """The out-of-fold probabilities [N, 10]: the mean over seeds or parts."""
        return _sorted_mean(self.oof_by_seed)


def assemble(parts: Sequence[Mapping[Member, Predictions]]) -> EnsemblePredictions:
    """Combine the members of a run, or of several runs whose held-out rows are the same.

    Where parts have different numbers of folds, members of those with fewer serve in several
    groups of `test_by_fold`.
    """
    rows = held_out_rows(parts[0])
    folds, oof = zip(*(_out_of_fold(rows, members) for members in parts), strict=True)
    test = [_test_by_fold(members) for members in parts]
    groups = range(max(map(len, test)))
    return EnsemblePredictions(
        rows,
        folds[0],
        oof[0] if len(parts) == 1 else np.stack([_sorted_mean(item) for item in oof]),
        np.stack([_sorted_mean([item[group % len(item)] for item in test]) for group in groups]),
        blend_proba([member.test_logits for member in members.values()] for members in parts),
    )


def held_out_rows(members: Mapping[Member, Predictions]) -> NDArray[np.int64]:
    """Return the rows [N] that the members of an ordinary run held out, ascending."""
    return np.unique(np.concatenate([item.val_index for item in members.values()]))


def _out_of_fold(
    rows: NDArray[np.int64], members: Mapping[Member, Predictions]
) -> tuple[NDArray[np.int64], Proba]:
    """Return the fold that held out each row [N], and what each seed predicts of it [S, N, 10]."""
    seeds = sorted({member.seed for member in members})
    folds, proba = np.empty_like(rows), np.full((len(seeds), len(rows), 10), np.nan)
    for member, item in members.items():
        at = np.searchsorted(rows, item.val_index)
        folds[at] = member.fold
        proba[seeds.index(member.seed), at] = mean_proba([item.val_logits])
    return folds, proba


def _test_by_fold(members: Mapping[Member, Predictions]) -> Proba:
    by_fold: dict[int, list[Logits]] = {}
    for member in sorted(members):
        by_fold.setdefault(member.fold, []).append(members[member].test_logits)
    return np.stack([mean_proba(logits) for logits in by_fold.values()])


@dataclass(frozen=True)
class OutOfFold:
    """The content of ``oof.csv``."""

    rows: NDArray[np.int64]  # [N] training rows, ascending
    labels: NDArray[np.int64]  # [N]
    folds: NDArray[np.int64]  # [N]
    predicted: NDArray[np.int64]  # [N]
    proba: Proba  # [N, 10], to 6 decimals

    @classmethod
    def of(cls, predictions: EnsemblePredictions, labels: NDArray[np.int64]) -> "OutOfFold":
        """Return the out-of-fold predictions of the rows whose `labels` [N] are given."""
        proba = predictions.oof_proba
        predicted = proba.argmax(axis=1)
        return cls(predictions.rows, labels, predictions.folds, predicted, np.round(proba, 6))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """True where the prediction is the label [N]."""
        return np.asarray(self.predicted == self.labels)

    def most_confident_errors(self) -> NDArray[np.int64]:
        """Return indices of the errors, the most confident first, ties by row."""
        wrong = np.flatnonzero(~self.correct)
        return wrong[np.argsort(-self.proba[wrong].max(axis=1), kind="stable")]

    def write(self, path: Path) -> None:
        """Write ``row,label,fold,predicted,proba_0..proba_9``, atomically."""
        columns = (self.rows, self.labels, self.folds, self.predicted, *self.proba.T)
        write_csv(path, dict(zip(COLUMNS, columns, strict=True)), float_format="%.6f")
