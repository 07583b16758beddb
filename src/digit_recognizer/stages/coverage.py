"""`make coverage`: how often the score lies inside the interval that was expected.

Shown twice, on labelled rows only: on resamples of finished runs' out-of-fold rows, and on real
re-splits, where a share of the labelled rows is put away and a recipe is trained on the rest.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from digit_recognizer.learning.coverage import Trial, resamples, tally, try_interval
from digit_recognizer.learning.device import Placement, find_placements
from digit_recognizer.learning.expectation import held_out_rows, take_apart
from digit_recognizer.learning.fit import Rows
from digit_recognizer.learning.folds import all_members, fold_of_rows
from digit_recognizer.learning.parallel import places, train_members
from digit_recognizer.learning.recipe import Recipe, recipe_as_dict
from digit_recognizer.storage import datasets
from digit_recognizer.storage.competition import Competition
from digit_recognizer.storage.files import StorageError, read_json, write_json
from digit_recognizer.storage.finding import find_run
from digit_recognizer.storage.runs import Run, RunError

PUT_AWAY = 0.3  # of the labelled rows, in a re-split


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
        As kept in ``coverage.json``: ``runs``, ``n_rows`` and, for each number of seeds, a
        `tally`

    Raises
    ------
    RunError
        If there are fewer than two runs, one is unfinished, or they are of other data or rows.
    """
    labels, probas = _out_of_fold(submissions_dir, data_dir, names)
    n_runs = len(probas)
    seeds = [number for number in range(1, n_runs // 2 + 1) if n_runs % number == 0]
    tallies = [
        {"n_seeds": n_seeds, **tally(list(resamples(labels, probas, n_seeds, n_resamples)))}
        for n_seeds in seeds
    ]
    counted = {"runs": list(names), "n_rows": len(labels), "tallies": tallies}
    _keep(coverage_path(submissions_dir), "resamples", counted)
    return counted


def coverage_path(submissions_dir: Path) -> Path:
    """Where the counts are kept."""
    return submissions_dir / "coverage.json"


def _out_of_fold(
    submissions_dir: Path, data_dir: Path, names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels [N] of the rows that all runs predicted, and their predictions [R, N, 10]."""
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise RunError("RUNS: give two or more different finished runs of one dataset")
    runs = [find_run(submissions_dir, name) for name in names]
    first = runs[0]
    data, provenance = datasets.load(data_dir / first.request()["dataset"])
    rows: list[NDArray[np.int64]] = []
    probas = []
    for run in runs:
        if not run.is_done():
            raise run.unfinished()
        if read_json(run.environment_path)["data"] != provenance.sha256:
            raise RunError(f"{run.run_dir}: is of other data than {data_dir}: leave it out")
        rows_of_run, proba = _predictions(run)
        if rows and not np.array_equal(rows_of_run, rows[0]):
            raise RunError(f"{run.run_dir}: has other rows than {first.name}: leave it out")
        rows.append(rows_of_run)
        probas.append(proba)
    return data.labels[rows[0]], np.stack(probas)


def _predictions(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A run's held-out rows [N] in order, and their probabilities [N, 10]."""
    parts = [part.read_members() for part in run.parts()]
    return held_out_rows(parts[0]), take_apart(parts).oof_proba


def count_resplits(
    submissions_dir: Path,
    data_dir: Path,
    dataset: str,
    recipe: Recipe,
    n_resplits: int,
    device: str,
    workers: int | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Put rows away, train on the rest, and score on them; each re-split is kept when done.

    Returns
    -------
    dict
        As kept in ``coverage.json``: what was trained on what, the ``trials`` and their `tally`

    Raises
    ------
    StorageError, DeviceError, TooFewRowsError, DivergedError, WorkerDiedError
        Also where ``coverage.json`` holds re-splits of another dataset or recipe.
    """
    data, provenance = datasets.load(data_dir / dataset)
    asked = {"train.csv": provenance.sha256["train.csv"], "settings": recipe_as_dict(recipe)}
    path = coverage_path(submissions_dir)
    counted = _read(path).get("resplits") or {"dataset": dataset, **asked, "trials": []}
    if any(counted[key] != value for key, value in asked.items()):
        raise StorageError(
            f"{path}: holds re-splits of another dataset or recipe: give the same, or delete it"
        )
    placements, warning = find_placements(device)
    if warning:
        say(warning)
    for number in range(len(counted["trials"]), n_resplits):
        trial = _train_and_score(data, recipe, number, places(placements, workers), say)
        counted["trials"].append(asdict(trial))
        counted["tally"] = tally([Trial(**kept) for kept in counted["trials"]])
        _keep(path, "resplits", counted)
        say(
            f"re-split {number + 1}: score {trial.score:.5f},"
            f" expected {trial.low:.5f} to {trial.high:.5f}: {trial.place}"
        )
    return counted


def _train_and_score(
    data: Competition,
    recipe: Recipe,
    number: int,
    placements: Sequence[Placement],
    say: Callable[[str], None],
) -> Trial:
    every_row = np.arange(len(data.labels))
    seen, put_away = train_test_split(
        every_row, test_size=PUT_AWAY, random_state=number, stratify=data.labels
    )
    labels = data.labels[seen]
    folds = fold_of_rows(labels, recipe.n_splits, recipe.split_seed)
    rows = Rows(data.images[seen], labels, folds, data.images[put_away])
    members = all_members(recipe)
    predictions = {}
    with closing(
        train_members(recipe, rows, members, placements, lambda member, epoch: None)
    ) as results:
        for trained in results:
            predictions[trained.member.name] = trained
            say(f"re-split {number + 1}: {len(predictions)} of {len(members)} members")
    in_order = {member.name: predictions[member.name] for member in members}
    oof_labels = labels[held_out_rows(in_order)]
    return try_interval(oof_labels, take_apart([in_order]), data.labels[put_away])


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _keep(path: Path, what: str, counted: dict[str, Any]) -> None:
    write_json(path, {**_read(path), what: counted})
