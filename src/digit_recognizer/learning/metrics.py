"""The honest figures: what out-of-fold rows say of a run."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

Z = 1.959964  # the normal distribution's 97.5 % quantile
SUSPICIOUS = 0.9987  # a score above this is not a triumph but a sign of leakage
DIGITS = np.arange(10)


def mean_proba(logits: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean of the softmaxes of several [N, 10] logits, whatever their order."""
    # Sorted sums do not depend on the order of the members to the last bit.
    stack = np.sort(np.stack([softmax(item.astype(np.float64), axis=1) for item in logits]), axis=0)
    mean: NDArray[np.float64] = stack.mean(axis=0)
    return mean


def wilson_interval(hits: int, n_rows: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    share, spread = hits / n_rows, Z * Z / n_rows
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n_rows + spread / (4 * n_rows)) / (1 + spread)
    return centre - half, centre + half


def fold_accuracies(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: NDArray[np.float64]
) -> dict[int, float]:
    """Accuracy on each fold's held-out rows."""
    hits = proba.argmax(axis=1) == labels
    return {int(fold): float(hits[folds == fold].mean()) for fold in np.unique(folds)}


def cv_report(
    labels: NDArray[np.int64], folds: NDArray[np.int64], proba: NDArray[np.float64]
) -> dict[str, Any]:
    """Every out-of-fold figure, as plain JSON values.

    Parameters
    ----------
    labels, folds : arrays, shape [N]
    proba : array, shape [N, 10], each row's from members that never saw it
    """
    predicted = proba.argmax(axis=1)
    hits = int((predicted == labels).sum())
    by_fold = fold_accuracies(labels, folds, proba)
    spread = np.std(list(by_fold.values()), ddof=1) if len(by_fold) > 1 else 0.0
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=DIGITS, zero_division=0.0
    )
    return {
        "cv_accuracy": hits / len(labels),
        "cv_interval": wilson_interval(hits, len(labels)),
        "n_rows": len(labels),
        "n_errors": len(labels) - hits,
        "fold_accuracies": {str(fold): value for fold, value in by_fold.items()},
        "fold_mean": float(np.mean(list(by_fold.values()))),
        "fold_std": float(spread),
        "log_loss": float(log_loss(labels, np.clip(proba, 1e-15, 1), labels=DIGITS)),
        "classes": [
            {
                "digit": digit,
                "precision": float(precision[digit]),
                "recall": float(recall[digit]),
                "f1": float(f1[digit]),
                "support": int(support[digit]),
            }
            for digit in range(10)
        ],
        "confusion": confusion_matrix(labels, predicted, labels=DIGITS).tolist(),
    }
