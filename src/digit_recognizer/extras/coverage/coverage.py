"""`make coverage`: how often the score lies inside its prediction interval, on labelled rows only.

Counted twice: on resamples of finished runs' out-of-fold rows, and on re-splits, where a fraction
of the labelled rows is held out and a recipe is trained on the rest.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from digit_recognizer.commands.options import Execution
from digit_recognizer.data.competition import Dataset, hashes_of
from digit_recognizer.data.dataset import load
from digit_recognizer.data.files import read_json, write_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.predictions import EnsemblePredictions, Proba, assemble, held_out_rows
from digit_recognizer.runs.run import find_run
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import all_members
from digit_recognizer.training.parallel import train_members, worker_devices
from digit_recognizer.training.recipe import Recipe

logger = logging.getLogger(__name__)

FILE = "coverage.json"  # in the submissions folder
HOLDOUT = 0.3  # of the labelled rows, in a re-split
OOF_FRACTION = 0.6  # of the rows of a resample, as in the competition; the rest are its test rows


class Trial(NamedTuple):
    """A score and the bounds of its expected interval."""

    score: float
    low: float
    high: float


def try_interval(
    oof_labels: NDArray[np.int64], predictions: EnsemblePredictions, test_labels: NDArray[np.int64]
) -> Trial:
    """Compute the interval that a run reports, and the score, which alone uses `test_labels`."""
    expected = expected_score(oof_labels, predictions)
    score = float((predictions.test_proba.argmax(axis=1) == test_labels).mean())
    return Trial(score, expected.low, expected.high)


def coverage_counts(trials: Sequence[Trial]) -> dict[str, Any]:
    """Count the scores inside, below and above their intervals; take the mean width."""
    score, low, high = np.array(trials).T
    below, above = int((score < low).sum()), int((score > high).sum())
    inside = len(trials) - below - above
    counts = {"n": len(trials), "inside": inside, "below": below, "above": above}
    return {**counts, "mean_width": float((high - low).mean())}


def count_resamples(
    submissions_dir: Path, data_dir: Path, names: Sequence[str], n_resamples: int
) -> dict[str, Any]:
    """Count where the score lies in resamples of the rows that finished runs predicted.

    The runs are the networks of an ensemble (see `resamples`), with as many of them for an
    out-of-fold row as divide their number. Returns, and keeps in ``coverage.json``, ``runs``,
    ``n_rows`` and the `coverage_counts` for each number of seeds.
    """
    labels, probas = _out_of_fold(submissions_dir, data_dir, names)
    counts = []
    for n_seeds in range(1, len(names) // 2 + 1):
        if len(names) % n_seeds == 0:
            trials = list(resamples(labels, probas, n_seeds, n_resamples))
            counts.append({"n_seeds": n_seeds, **coverage_counts(trials)})
    report = {"runs": list(names), "n_rows": len(labels), "counts": counts}
    _keep(submissions_dir, "resamples", report)
    return report


def resamples(
    labels: NDArray[np.int64], probas: Proba, n_seeds: int, n_resamples: int
) -> Iterator[Trial]:
    """Split labelled rows [N] into out-of-fold and test rows, again and again.

    `probas` [R, N, 10] are out-of-fold predictions by R networks. All of them predict a test
    row; an out-of-fold row is predicted by `n_seeds`, a divisor of R, that are drawn for it, as
    the rows of a fold are by some members of many. So no counted prediction has seen its row.
    """
    rng = np.random.default_rng(0)
    n_oof = round(OOF_FRACTION * len(labels))
    for _ in range(n_resamples):
        order = rng.permutation(len(labels))
        oof, test = order[:n_oof], order[n_oof:]
        groups = rng.permutation(len(probas)).reshape(-1, n_seeds)  # [G, S]
        drawn = groups[rng.integers(len(groups), size=n_oof)]  # [n_oof, S]
        oof_by_seed = np.stack([probas[networks, oof] for networks in drawn.T])
        test_by_group = np.stack([probas[group][:, test].mean(axis=0) for group in groups])
        predictions = EnsemblePredictions(
            oof, np.zeros(n_oof, np.int64), oof_by_seed, test_by_group, test_by_group.mean(axis=0)
        )
        yield try_interval(labels[oof], predictions, labels[test])


def _out_of_fold(
    submissions_dir: Path, data_dir: Path, names: Sequence[str]
) -> tuple[NDArray[np.int64], Proba]:
    """Return labels [N] of the rows that all runs predicted, and their predictions [R, N, 10]."""
    if len(set(names)) < max(2, len(names)):
        raise RunError("RUNS: give two or more different finished runs of one dataset")
    runs = [RunResults.read(find_run(submissions_dir, name), data_dir) for name in names]
    rows, data = runs[0].oof.rows, runs[0].environment.data
    for item in runs:
        if item.environment.data != data or not np.array_equal(item.oof.rows, rows):
            raise RunError(f"{item.run.run_dir}: has other rows than {names[0]}: leave it out")
    members = [[part.predictions for part in item.parts] for item in runs]
    return runs[0].oof.labels, np.stack([assemble(parts).oof_proba for parts in members])


def count_resplits(
    folder: Path, submissions_dir: Path, recipe: Recipe, n_resplits: int, execution: Execution
) -> dict[str, Any]:
    """Hold rows out, train on the rest, and score on them; each re-split is kept when done.

    Returns, and keeps in ``coverage.json``, the request, its ``trials`` and their
    `coverage_counts`.
    """
    data, path = load(folder), submissions_dir / FILE
    digest = hashes_of(data)["train.csv"]
    request = {"dataset": folder.name, "train.csv": digest, "settings": asdict(recipe)}
    kept: dict[str, Any] = _read(path).get("resplits", {**request, "trials": []})
    if any(kept[key] != value for key, value in request.items()):
        raise FileError(
            f"{path}: holds re-splits of another dataset or recipe: give the same, or delete it"
        )
    trials = [Trial(**trial) for trial in kept["trials"]]
    devices = worker_devices(find_devices(execution.device), execution.workers)
    for number in range(len(trials), n_resplits):
        trials.append(_train_and_score(data, recipe, number, devices))
        rows = [trial._asdict() for trial in trials]
        kept = {**request, "trials": rows, "counts": coverage_counts(trials)}
        _keep(submissions_dir, "resplits", kept)
    return kept


def _train_and_score(
    data: Dataset, recipe: Recipe, number: int, devices: Sequence[Device]
) -> Trial:
    """Train on the rows that re-split `number` leaves, and score on those it holds out."""
    images, test_images, labels, test_labels = train_test_split(
        data.images, data.labels, test_size=HOLDOUT, random_state=number, stratify=data.labels
    )
    part = Dataset(images, labels, test_images)
    members = all_members(recipe)
    predictions = {}
    with closing(train_members(recipe, part, members, devices, lambda *_: None)) as results:
        for trained in results:
            predictions[trained.member] = trained.predictions
            logger.info(f"re-split {number + 1}: {len(predictions)} of {len(members)} members")
    in_order = {member: predictions[member] for member in members}
    trial = try_interval(labels[held_out_rows(in_order)], assemble([in_order]), test_labels)
    score, low, high = trial
    logger.info(f"re-split {number + 1}: score {score:.5f}, expected {low:.5f} to {high:.5f}")
    return trial


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _keep(submissions_dir: Path, key: str, report: dict[str, Any]) -> None:
    path = submissions_dir / FILE
    write_json(path, {**_read(path), key: report})
