"""What a run's report is made of: gathered by the stage, drawn by the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.calibration import Bin


@dataclass(frozen=True)
class Digit:
    """A row to look at: its image [28, 28] uint8, probabilities [10] and best guess.

    ``label`` is None where nobody knows it; ``votes`` [10] counts members by their best guess.
    """

    row: int
    image: NDArray[np.uint8]
    proba: NDArray[np.float64]
    said: int
    label: int | None = None
    votes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Curve:
    """A member's epochs, as its ``history.csv`` has them."""

    name: str
    epochs: Sequence[dict[str, float]]


@dataclass(frozen=True)
class Calibration:
    """Bins of confidence before and after a temperature that was fitted on other folds."""

    before: list[Bin]
    after: list[Bin]
    log_loss: tuple[float, float]
    temperatures: list[float]


@dataclass(frozen=True)
class Augmentation:
    """A policy's draws [D, 1 + draws, 28, 28], each digit first as it is, and TTA's views
    [views, 28, 28] of one digit; ``runs`` share them."""

    runs: list[str]
    settings: str
    draws: NDArray[np.uint8]
    views: NDArray[np.uint8]


@dataclass(frozen=True)
class Upload:
    """An upload of the run's submission, from the ledger."""

    time: str
    status: str
    public_score: float | None


@dataclass(frozen=True)
class Report:
    """All that the page shows; `cv`, `request` and `environment` are the run's JSON files."""

    name: str
    cv: dict[str, Any]
    request: dict[str, Any]
    environment: dict[str, Any]
    changed: dict[str, Any]  # settings that differ from the named recipe
    upload: Upload | None
    curves: list[Curve]
    errors: list[Digit]  # the surest first, perhaps not all
    unsure: list[Digit]  # right, but only just
    issues: list[Digit]  # labels that are probably wrong
    n_issues: int
    disputed: list[Digit]  # test rows
    calibration: Calibration
    augmentations: list[Augmentation]
    gain_by_size: list[dict[str, float]]
    accuracy_by_size: list[dict[str, float]]
