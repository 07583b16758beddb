"""Scores from out-of-fold predictions: the content of ``cv.json``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUSPICIOUS_ACCURACY = 0.9987  # a score above this is a sign of leakage: some labels are wrong
MIN_ROWS_FOR_SUSPICION = 10_000  # of fewer, a good network may get all right
CV_WARNING = (
    f"CV accuracy above {SUSPICIOUS_ACCURACY} is suspicious, because some labels are wrong:"
    " look for near copies of one image in different folds"
)
DIGITS = np.arange(10)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of one digit, and its number of rows."""

    digit: int
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ExpectedScore:
    """A 95 % prediction interval for the submission's score."""

    low: float
    middle: float
    high: float
    gain: float  # expected accuracy of the ensemble minus that of out-of-fold predictions
    gain_sd: float  # its standard deviation

    def __str__(self) -> str:
        return f"{self.low:.5f} to {self.high:.5f}"

    def position(self, score: float) -> str:
        """Return where a public score lies: inside, below or above. Kaggle rounds to 5 decimals."""
        if score < round(self.low, 5):
            return "below"
        return "above" if score > round(self.high, 5) else "inside"


@dataclass(frozen=True)
class CvReport:
    """The content of ``cv.json``."""

    cv_accuracy: float
    cv_interval: tuple[float, float]  # the 95 % Wilson interval of `cv_accuracy`
    n_rows: int
    n_errors: int
    fold_accuracies: dict[str, float]
    fold_mean: float
    fold_std: float
    log_loss: float
    classes: list[ClassScores]
    confusion: list[list[int]]
    expected_score: ExpectedScore
    test_accuracy: float | None = field(default=None, kw_only=True)  # None: labels not known
    n_members: int
    seconds: float  # of training, wall-clock
    augment_share: float  # the fraction of training time spent on augmentation
    may_submit: bool
    suspicious: bool
    n_duplicates: int = 0  # training rows whose image an earlier row has too

    def __post_init__(self) -> None:
        expected = self.expected_score
        fractions = (self.cv_accuracy, *self.cv_interval, self.fold_mean, self.augment_share)
        if not all(0 <= value <= 1 for value in (*fractions, expected.low, expected.high)):
            raise ValueError("an accuracy or share is not between 0 and 1")
        if np.shape(self.confusion) != (10, 10) or [c.digit for c in self.classes] != [*range(10)]:
            raise ValueError("classes or confusion are not those of ten digits")


def out_of_fold_scores(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the fields of `CvReport` that follow from the out-of-fold rows only.

    `labels` and `folds` are [N]; each row of `proba` [N, 10] is by members that never saw it.
    """
    # Imported here: reading a cv.json does without, and it takes 2 s.
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    predicted = proba.argmax(axis=1)
    correct = predicted == labels
    by_fold = {str(fold): float(correct[folds == fold].mean()) for fold in np.unique(folds)}
    values = list(by_fold.values())
    n_rows, n_correct = len(labels), int(correct.sum())
    accuracy = n_correct / n_rows
    columns = precision_recall_fscore_support(labels, predicted, labels=DIGITS, zero_division=0.0)
    by_digit = zip(*(column.tolist() for column in columns), strict=True)
    return {
        "cv_accuracy": accuracy,
        "cv_interval": wilson_interval(n_correct, n_rows),
        "n_rows": n_rows,
        "n_errors": n_rows - n_correct,
        "fold_accuracies": by_fold,
        "fold_mean": float(np.mean(values)),
        "fold_std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        "log_loss": float(log_loss(labels, np.clip(proba, 1e-15, 1), labels=DIGITS)),
        "classes": [ClassScores(digit, *scores) for digit, scores in enumerate(by_digit)],
        "confusion": confusion_matrix(labels, predicted, labels=DIGITS).tolist(),
        "suspicious": accuracy > SUSPICIOUS_ACCURACY and n_rows > MIN_ROWS_FOR_SUSPICION,
    }


def wilson_interval(n_correct: int, n_rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a fraction (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    from scipy.stats import binomtest

    interval = binomtest(n_correct, n_rows).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def duration(seconds: float) -> str:
    """Return seconds in words, such as ``10 min 44 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
