"""Trials of the prediction interval: resamples of finished runs, and re-splits trained anew."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from digit_recognizer.commands.options import Folders
from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.errors import RunError
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.predictions import EnsemblePredictions, Proba, assemble
from digit_recognizer.runs.run import find_run
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Checkpoint, all_members
from digit_recognizer.training.parallel import TrainMembers
from digit_recognizer.training.recipe import Recipe

logger = logging.getLogger(__name__)

HOLDOUT = 0.3  # of the labelled rows, in a re-split
OOF_FRACTION = 0.6  # of the rows of a resample, as in the competition; the rest are its test rows


class Trial(NamedTuple):
    """A score and the bounds of its prediction interval."""

    score: float
    low: float
    high: float


def count_resamples(folders: Folders, names: list[str], n_resamples: int) -> dict[str, Any]:
    """Count where the score lies in resamples of the rows that finished runs predicted.

    The runs are the networks of an ensemble: see `_resample`.
    """
    found = [find_run(folders.submissions_dir, name) for name in names]
    runs = [RunResults.read(run, folders.data_dir) for run in found]
    data, oof = runs[0].environment.data, runs[0].oof
    for item in runs:
        if item.environment.data != data or not np.array_equal(item.oof.rows, oof.rows):
            raise RunError(f"{item.run.run_dir}: has other rows than {names[0]}: leave it out")
    members = [[part.predictions for part in item.parts] for item in runs]
    probas = np.stack([assemble(parts).oof_proba for parts in members])  # [R, N, 10]
    rng = np.random.default_rng(0)
    trials = [_resample(oof.labels, probas, rng) for _ in range(n_resamples)]
    return {"runs": names, "n_rows": len(oof.rows), **_count(trials)}


def _resample(labels: NDArray[np.int64], probas: Proba, rng: np.random.Generator) -> Trial:
    """Split labelled rows [N] into out-of-fold and test rows.

    `probas` [R, N, 10] are out-of-fold predictions by R networks. All of them predict a test row;
    an out-of-fold row is predicted by one that is drawn for it, as the rows of a fold are by one
    member of many. So no counted prediction has seen its row.
    """
    n_oof = round(OOF_FRACTION * len(labels))
    order = rng.permutation(len(labels))
    oof, test = order[:n_oof], order[n_oof:]
    networks = rng.permutation(len(probas))
    drawn = networks[rng.integers(len(networks), size=n_oof)]
    by_network = probas[networks][:, test]  # [R, M, 10]
    predictions = EnsemblePredictions(
        oof, np.zeros_like(oof), probas[drawn, oof][None], by_network, by_network.mean(axis=0)
    )
    return _try_interval(labels[oof], predictions, labels[test])


def count_resplits(
    folder: Path, recipe: Recipe, n_resplits: int, train: TrainMembers, devices: Sequence[Device]
) -> dict[str, Any]:
    """Hold rows out, train on the rest, and count where the score on them lies."""
    data = load_dataset(folder)
    trials = [_resplit(data, recipe, number, train, devices) for number in range(n_resplits)]
    return {
        "dataset": folder.name,
        "settings": asdict(recipe),
        "trials": [trial._asdict() for trial in trials],
        **_count(trials),
    }


def _resplit(
    data: Dataset, recipe: Recipe, number: int, train: TrainMembers, devices: Sequence[Device]
) -> Trial:
    """Train on the rows that re-split `number` leaves, and score on those it holds out."""
    images, test_images, labels, test_labels = train_test_split(
        data.images, data.labels, test_size=HOLDOUT, random_state=number, stratify=data.labels
    )
    remainder = Dataset(images, labels, test_images)
    starts = [Checkpoint(member) for member in all_members(recipe)]
    training = train(recipe, remainder, starts, devices, lambda *_: None, lambda *_: None)
    with closing(training) as results:
        predictions = assemble([{one.member: one.predictions for one in results}])
    trial = _try_interval(labels[predictions.rows], predictions, test_labels)
    logger.info("re-split %d: score %.5f, expected %.5f to %.5f", number + 1, *trial)
    return trial


def _try_interval(
    oof_labels: NDArray[np.int64], predictions: EnsemblePredictions, test_labels: NDArray[np.int64]
) -> Trial:
    """Compute the interval that a run reports, and the score, which alone uses `test_labels`."""
    expected = expected_score(oof_labels, predictions)
    score = float((predictions.test_proba.argmax(axis=1) == test_labels).mean())
    return Trial(score, expected.low, expected.high)


def _count(trials: Sequence[Trial]) -> dict[str, Any]:
    """Count the scores inside, below and above their intervals; take the mean width."""
    score, low, high = np.array(trials).T
    below, above = int((score < low).sum()), int((score > high).sum())
    inside = len(trials) - below - above
    counts = {"n": len(trials), "inside": inside, "below": below, "above": above}
    return {**counts, "mean_width": float((high - low).mean())}
