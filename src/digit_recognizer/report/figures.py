"""Figures of a report that ``cv.json`` lacks, and pictures of digits as PNG."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.data.files import write_bytes
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.metrics import CvReport, wilson_interval
from digit_recognizer.runs.predictions import OutOfFold, Proba
from digit_recognizer.training.augment import SIDE, augment, build_transform
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.rng import RngPurpose, make_rng

MAX_TICKS = 5  # they fit on a phone
N_BINS = 15  # as in Guo et al. 2017
SCALE = 2  # screen pixels for one of an image's
GAP = 4
CAPTION = 14  # pixels of height for the text under a digit
PAPER, INK = 255, 60
N_HARDEST = 60
N_EXAMPLES = 11  # of each digit, augmented


class ScoreAxis:
    """The axis of a run's scores: both intervals, and the scores on known or public labels."""

    def __init__(self, cv: CvReport, public_score: float | None) -> None:
        scores = [score for score in (cv.test_accuracy, public_score) if score is not None]
        values = [*cv.cv_interval, cv.expected_score.low, cv.expected_score.high, *scores]
        margin = 0.04 * (max(values) - min(values))
        self.low, self.high = min(values) - margin, max(values) + margin

    def at(self, score: float) -> str:
        """Return where a score lies, in percent of the axis, for CSS."""
        return f"{100 * (score - self.low) / (self.high - self.low):.2f}%"

    @property
    def ticks(self) -> list[str]:
        """A few round scores, as text."""
        steps = [(k / 10**decimals, decimals) for decimals in range(6, -1, -1) for k in (1, 2, 5)]
        step, decimals = next(s for s in steps if self.high - self.low <= MAX_TICKS * s[0])
        first, last = math.ceil(self.low / step), math.floor(min(self.high, 1.0) / step)
        return [f"{number * step:.{decimals}f}" for number in range(first, last + 1)]


def effect_of_test_rows(cv: CvReport) -> float:
    """Return what test rows change that are easier or harder than the out-of-fold rows.

    With it, CV accuracy and gain add up to the expected score as shown, to 5 decimals.
    """
    expected = cv.expected_score
    start, gain, total = (round(x, 5) for x in (cv.cv_accuracy, expected.gain, expected.middle))
    return round(total - start - gain, 5) + 0.0  # never -0.0


def reliability(labels: NDArray[np.int64], proba: Proba) -> pd.DataFrame:
    """Return ``confidence``, ``accuracy`` with ``low`` and ``high`` of its 95 % interval, ``n_rows``.

    Bin k, from 1 to `N_BINS`, has the rows of `proba` [N, 10] with a confidence above
    (k - 1) / `N_BINS` and up to k / `N_BINS`; empty bins are left out.
    """
    confidence, correct = proba.max(axis=1), proba.argmax(axis=1) == labels
    rows = pd.DataFrame({"confidence": confidence, "accuracy": correct})
    by_bin = rows.groupby(np.ceil(confidence * N_BINS).astype(int))
    counts = zip(by_bin["accuracy"].sum(), by_bin.size(), strict=True)
    low, high = zip(*(wilson_interval(*count) for count in counts), strict=True)
    return by_bin.mean().assign(low=low, high=high, n_rows=by_bin.size())


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, by rows.

    Guo, Pleiss, Sun, Weinberger 2017: On calibration of modern neural networks, ICML.
    """
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    return float(np.average(gaps, weights=bins["n_rows"]))


def contradictory_labels(data: Dataset, oof: OutOfFold) -> NDArray[np.int64]:
    """Return the out-of-fold errors [K] whose image has another label in another row."""
    first = data.first_rows()
    contradicted = first[data.labels != data.labels[first]]
    return np.flatnonzero(np.isin(first[oof.rows], contradicted) & ~oof.correct)


def probable_label_errors(labels: NDArray[np.int64], proba: Proba) -> NDArray[np.int64]:
    """Return the rows [K] whose labels confident learning calls wrong, the most suspicious first.

    A row is called wrong if another class's probability reaches the mean that this class has on
    rows which bear it as their label (Northcutt, Jiang, Chuang 2021: Confident learning, J. Artif.
    Intell. Res. 70:1373). Each row of `proba` [N, 10] is by members that never saw it.

    No score or weight may depend on this finding: a row's own label went into it.
    """
    if len(np.unique(labels)) == 1:  # no other label is known, and the library refuses
        return np.empty(0, dtype=np.int64)
    # Imported here: Kaggle's Docker image, where runs are trained too, lacks it.
    from cleanlab.filter import find_label_issues

    how = {"filter_by": "confident_learning", "return_indices_ranked_by": "self_confidence"}
    return np.asarray(find_label_issues(labels, proba, n_jobs=1, **how))


def label_issues(oof: OutOfFold, issues: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the columns of `issues`, the most suspicious first; rows count from 0."""
    labels, suggested = oof.labels[issues], oof.predicted[issues]
    return {
        "row": oof.rows[issues],
        "label": labels,
        "suggested": suggested,
        "proba_label": oof.proba[issues, labels],
        "proba_suggested": oof.proba[issues, suggested],
        "rank": np.arange(1, len(issues) + 1),
    }


def draw_pictures(results: RunResults) -> None:
    """Write ``augmented.png`` and ``hardest.png`` of a finished run, where they are missing.

    A blend has no augmentation of its own, and so its errors only.
    """
    run, recipe, oof = results.run, results.request.recipe, results.oof
    if recipe and not run.augmented_path.is_file():
        write_bytes(run.augmented_path, png(augmentation_grid(recipe, results.data)))
    if not run.hardest_path.is_file():
        errors = oof.most_confident_errors()[:N_HARDEST]
        captions = [f"{oof.labels[index]}, not {oof.predicted[index]}" for index in errors]
        hardest = image_grid(results.data.images[oof.rows[errors]], 12, captions)
        write_bytes(run.hardest_path, png(hardest))


def augmentation_grid(recipe: Recipe, data: Dataset) -> NDArray[np.uint8]:
    """Return a grid: in each row a digit's first image and, to its right, augmented versions."""
    firsts = data.images[[int(np.argmax(data.labels == digit)) for digit in range(10)]]
    rng = make_rng(recipe.seed, RngPurpose.AUGMENT, 0, 0)
    drawn = augment(np.repeat(firsts, N_EXAMPLES, axis=0), build_transform(recipe), 1, rng)
    rows = np.concatenate([firsts[:, None], drawn.reshape(10, N_EXAMPLES, SIDE, SIDE)], axis=1)
    return image_grid(rows.reshape(-1, SIDE, SIDE), 1 + N_EXAMPLES)


def image_grid(
    images: NDArray[np.uint8], columns: int, captions: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Return images [N, 28, 28] uint8 in rows of `columns`, each over its caption; grey [H, W]."""
    size = SIDE * SCALE
    height = size + GAP + (CAPTION if captions else 0)
    rows = -(-len(images) // columns)
    page = np.full((rows * height + GAP, columns * (size + GAP) + GAP), PAPER, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = GAP + index // columns * height, GAP + index % columns * (size + GAP)
        large = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST)
        page[top : top + size, left : left + size] = 255 - large
        if captions:
            corner = (left, top + size + CAPTION - 3)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(page, captions[index], corner, font, 0.35, INK, 1, cv2.LINE_AA)
    return page


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture [H, W] as PNG."""
    return bytes(cv2.imencode(".png", picture)[1])


def data_url(picture: NDArray[np.uint8]) -> str:
    """Return a URL that holds a picture [H, W] as PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
