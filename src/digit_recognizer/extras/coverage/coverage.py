"""`make coverage`: the coverage of the prediction interval, counted on labelled rows only.

Twice: on resamples of finished runs' out-of-fold rows, and on re-splits, where a fraction of
the labelled rows is held out and a recipe is trained on the rest.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from digit_recognizer.commands.options import Execution
from digit_recognizer.data.competition import Dataset, hashes_of
from digit_recognizer.data.dataset import load
from digit_recognizer.data.files import read_json, write_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.runs.ensemble import TrainedRun
from digit_recognizer.runs.predictions import EnsemblePredictions, Proba, assemble, held_out_rows
from digit_recognizer.runs.run import find_run
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import all_members
from digit_recognizer.training.parallel import train_members, worker_devices
from digit_recognizer.training.recipe import Recipe

logger = logging.getLogger(__name__)

HOLDOUT = 0.3  # of the labelled rows, in a re-split
OOF_FRACTION = 0.6  # of the rows of a resample, as in the competition; the rest are its test rows


@dataclass(frozen=True)
class Trial:
    """A score and the bounds of its expected interval."""

    score: float
    low: float
    high: float

    @property
    def position(self) -> str:
        """Position of the score: ``inside``, ``below`` or ``above`` the interval."""
        if self.low <= self.score <= self.high:
            return "inside"
        return "below" if self.score < self.low else "above"


def try_interval(
    oof_labels: NDArray[np.int64], predictions: EnsemblePredictions, test_labels: NDArray[np.int64]
) -> Trial:
    """Compute the interval that a run reports, and the score, which alone uses `test_labels`."""
    expected = expected_score(oof_labels, predictions)
    score = float((predictions.test_proba.argmax(axis=1) == test_labels).mean())
    return Trial(score, expected.low, expected.high)


def resamples(
    labels: NDArray[np.int64], probas: Proba, n_seeds: int, n_resamples: int
) -> Iterator[Trial]:
    """Split labelled rows into out-of-fold and test rows, again and again.

    Parameters
    ----------
    labels : array, shape [N]
    probas : array, shape [R, N, 10], out-of-fold predictions by R networks. All of them predict
        a test row; an out-of-fold row is predicted by `n_seeds` that are drawn for it, as the
        rows of a fold are by some members of many. So no counted prediction has seen its row.
    n_seeds : divides R
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


def coverage_counts(trials: Sequence[Trial]) -> dict[str, Any]:
    """Count the scores inside, below and above their intervals; take the mean width."""
    positions = [trial.position for trial in trials]
    counts = {position: positions.count(position) for position in ("inside", "below", "above")}
    mean_width = float(np.mean([trial.high - trial.low for trial in trials]))
    return {"n": len(trials), **counts, "mean_width": mean_width}


def coverage_path(submissions_dir: Path) -> Path:
    """Return where the counts are kept."""
    return submissions_dir / "coverage.json"


def count_resamples(
    submissions_dir: Path, data_dir: Path, names: Sequence[str], n_resamples: int
) -> dict[str, Any]:
    """Count where the score lies in resamples of the rows that finished runs predicted.

    The runs are the networks of an ensemble (see `resamples`), with as many of them for an
    out-of-fold row as divide their number. Resamples share one finite set of rows and one set
    of networks: they are not independent, and say less than as many new runs would.

    Returns
    -------
    dict
        As kept in ``coverage.json``: ``runs``, ``n_rows`` and, for each number of seeds, the
        `coverage_counts`
    """
    labels, probas = _out_of_fold(submissions_dir, data_dir, names)
    counts = []
    for n_seeds in range(1, len(names) // 2 + 1):
        if len(names) % n_seeds == 0:
            trials = list(resamples(labels, probas, n_seeds, n_resamples))
            counts.append({"n_seeds": n_seeds, **coverage_counts(trials)})
    report = {"runs": list(names), "n_rows": len(labels), "counts": counts}
    _write(coverage_path(submissions_dir), "resamples", report)
    return report


def _out_of_fold(
    submissions_dir: Path, data_dir: Path, names: Sequence[str]
) -> tuple[NDArray[np.int64], Proba]:
    """Return labels [N] of the rows that all runs predicted, and their predictions [R, N, 10]."""
    if len(set(names)) < max(2, len(names)):
        raise RunError("RUNS: give two or more different finished runs of one dataset")
    runs = [find_run(submissions_dir, name) for name in names]
    data = load(data_dir / runs[0].request().dataset)
    for run in runs:
        if not run.is_done():
            raise run.unfinished_error()
        if run.environment().data != hashes_of(data):
            raise RunError(f"{run.run_dir}: is of other data than {data_dir}: leave it out")
    parts = [[TrainedRun.read(part).predictions for part in run.parts()] for run in runs]
    rows = held_out_rows(parts[0][0])
    for run, members in zip(runs, parts, strict=True):
        if not np.array_equal(held_out_rows(members[0]), rows):
            raise RunError(f"{run.run_dir}: has other rows than {runs[0].name}: leave it out")
    return data.labels[rows], np.stack([assemble(members).oof_proba for members in parts])


def count_resplits(
    folder: Path, submissions_dir: Path, recipe: Recipe, n_resplits: int, execution: Execution
) -> dict[str, Any]:
    """Hold rows out, train on the rest, and score on them; each re-split is kept when done.

    Returns
    -------
    dict
        As kept in ``coverage.json``: the request, its ``trials`` and their `coverage_counts`
    """
    data = load(folder)
    path = coverage_path(submissions_dir)
    digest = hashes_of(data)["train.csv"]
    request = {"dataset": folder.name, "train.csv": digest, "settings": asdict(recipe)}
    kept = _read(path).get("resplits") or {**request, "trials": []}
    if any(kept[key] != request[key] for key in ("train.csv", "settings")):
        raise FileError(
            f"{path}: holds re-splits of another dataset or recipe: give the same, or delete it"
        )
    request["dataset"] = kept["dataset"]
    devices = worker_devices(find_devices(execution.device), execution.workers)
    # Files of older versions hold more of a trial.
    trials = [Trial(trial["score"], trial["low"], trial["high"]) for trial in kept["trials"]]
    for number in range(len(trials), n_resplits):
        trial = _train_and_score(data, recipe, number, devices)
        trials.append(trial)
        _write(path, "resplits", _with_trials(request, trials))
        logger.info(
            f"re-split {number + 1}: score {trial.score:.5f},"
            f" expected {trial.low:.5f} to {trial.high:.5f}: {trial.position}"
        )
    return _with_trials(request, trials)


def _with_trials(request: Mapping[str, Any], trials: Sequence[Trial]) -> dict[str, Any]:
    rows = [asdict(trial) for trial in trials]
    return {**request, "trials": rows, "counts": coverage_counts(trials)}


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
    return try_interval(labels[held_out_rows(in_order)], assemble([in_order]), test_labels)


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _write(path: Path, key: str, report: dict[str, Any]) -> None:
    write_json(path, {**_read(path), key: report})
