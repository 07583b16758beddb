"""`make blend`: one run out of several finished ones, from their predictions alone."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.environment import commit, joined_machines
from digit_recognizer.learning.expectation import held_out_rows
from digit_recognizer.storage.files import read_json
from digit_recognizer.storage.finding import data_of, find_run
from digit_recognizer.storage.opening import open_run
from digit_recognizer.storage.runs import Run, RunError, checked_name


def blend(
    data_dir: Path,
    submissions_dir: Path,
    names: Sequence[str],
    run_name: str,
    recipe_name: str = "blend",
) -> Run:
    """Begin the run `run_name` that is the mean of the finished runs `names`, each weighing same.

    Its ``recipe.json`` names them, its ``environment.json`` holds a digest of each one's
    predictions. Nothing is computed here: `ensemble.finish` does that, as for every run.

    Raises
    ------
    RunError
        If a part is missing, unfinished or a blend itself, the parts are not about the same
        rows of the same data, or something else stands under `run_name`.
    StorageError
        If the data is missing or no longer what the parts were trained on.
    """
    parts = [finished_part(submissions_dir, name) for name in _checked(names, run_name)]
    environments = [read_json(part.environment_path) for part in parts]
    _refuse_other_rows(parts, environments)
    run = Run(submissions_dir / checked_name(run_name))
    dataset = parts[0].request()["dataset"]
    data_of(parts[0], data_dir)  # refuses data that changed since
    request = {"dataset": dataset, "recipe": recipe_name, "blend_of": list(names)}
    open_run(run, request, blended_environment(parts, environments)).release()
    return run


def blend_name(dataset: str, recipe_name: str, parts: Sequence[str], names: Sequence[str]) -> str:
    """``<dataset>-<recipe>``, with a short hash where settings changed the `names` of its runs.

    Parameters
    ----------
    parts, names : the recipes that are blended, and their runs
    """
    name = f"{dataset}-{recipe_name}"
    if list(names) == [f"{dataset}-{part}" for part in parts]:
        return name
    return f"{name}-{hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:6]}"


def _checked(names: Sequence[str], run_name: str) -> Sequence[str]:
    if len(names) < 2:
        raise RunError(f"RUNS is {' '.join(names)!r}: give at least two runs to blend")
    if twice := [name for name in names if names.count(name) > 1]:
        raise RunError(f"RUNS names {twice[0]!r} twice: give each run once")
    if run_name in names:
        raise RunError(f"RUN is {run_name!r}, which is one of RUNS: give the blend another name")
    return names


def finished_part(submissions_dir: Path, name: str) -> Run:
    """The finished ordinary run called `name`; RunError if it is not one."""
    part = find_run(submissions_dir, name)
    if "blend_of" in part.request():
        runs = " ".join(part.request()["blend_of"])
        raise RunError(f"{part.run_dir}: is a blend itself: give its parts, {runs}, in its place")
    if not part.is_done() or part.missing_members():
        raise part.unfinished()
    return part


def _refuse_other_rows(parts: Sequence[Run], environments: Sequence[dict[str, Any]]) -> None:
    rows = _rows_of(parts[0])
    for part, environment in zip(parts[1:], environments[1:], strict=True):
        if environment["data"] != environments[0]["data"]:
            raise RunError(
                f"{part.run_dir}: was trained on other data than {parts[0].name}: blend runs of"
                " the same data"
            )
        if not np.array_equal(_rows_of(part), rows):
            raise RunError(
                f"{part.run_dir}: holds out other rows than {parts[0].name}: blend runs of all"
                " folds, or of the same ones"
            )


def _rows_of(part: Run) -> NDArray[np.int64]:
    return held_out_rows(part.read_members())


def blended_environment(
    parts: Sequence[Run], environments: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What the parts were computed on; machines that differ are joined by ``+``.

    It may be submitted where every part may.
    """
    strictest = min(environments, key=lambda item: bool(item["may_submit"]))
    known, dirty = commit()
    return {
        **strictest,
        **joined_machines(environments),
        "commit": known,
        "dirty": dirty,
        "parts": {part.name: part.predictions_digest() for part in parts},
    }
