"""Blends: the mean of several finished runs, from their predictions alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from digit_recognizer.data.competition import Dataset
from digit_recognizer.errors import RunError
from digit_recognizer.runs.ensemble import RunResults, TrainedRun, data_of, finish
from digit_recognizer.runs.environment import Environment, commit
from digit_recognizer.runs.lock import begin_run
from digit_recognizer.runs.predictions import held_out_rows
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run, find_run, new_run


def blend(data_dir: Path, submissions_dir: Path, names: Sequence[str], run_name: str) -> RunResults:
    """Average finished runs into the run `run_name`; each weighs the same."""
    _check_names(names, run_name)
    run = new_run(submissions_dir, run_name)
    parts = [TrainedRun.read(find_blendable_run(submissions_dir, name)) for name in names]
    data = data_of(parts[0].run, data_dir)
    for part in parts:  # before anything is written
        part.check_rows(data)
        part.run.seconds()
    return blend_parts(run, parts, data)


def blend_parts(run: Run, parts: list[TrainedRun], data: Dataset) -> RunResults:
    """Average runs in memory into `run`, which keeps the names and hashes of its parts."""
    environments = [part.run.environment() for part in parts]
    _check_same_rows(parts, environments)
    names = tuple(part.run.name for part in parts)
    request = Request(parts[0].run.request().dataset, "blend", None, names)
    with begin_run(run, request, _blended_environment(parts, environments)):
        return finish(run, data, parts)


def _check_names(names: Sequence[str], run_name: str) -> None:
    if len(names) < 2:
        raise RunError(f"RUNS is {' '.join(names)!r}: give at least two runs to blend")
    if twice := [name for name in names if names.count(name) > 1]:
        raise RunError(f"RUNS names {twice[0]!r} twice: give each run once")
    if run_name in names:
        raise RunError(f"RUN is {run_name!r}, which is one of RUNS: give the blend another name")


def find_blendable_run(submissions_dir: Path, name: str) -> Run:
    """Return the finished ordinary run called `name`."""
    part = find_run(submissions_dir, name)
    part.recipe()  # refuses a blend
    if not part.is_done() or part.missing_members():
        raise part.unfinished_error()
    return part


def _check_same_rows(parts: Sequence[TrainedRun], environments: Sequence[Environment]) -> None:
    first, rows = parts[0].run.name, held_out_rows(parts[0].predictions)
    for part, environment in zip(parts, environments, strict=True):
        if environment.data != environments[0].data:
            fault = f"was trained on other data than {first}: blend runs of the same data"
            raise RunError(f"{part.run.run_dir}: {fault}")
        if not np.array_equal(held_out_rows(part.predictions), rows):
            raise RunError(
                f"{part.run.run_dir}: holds out other rows than {first}: blend runs of all folds,"
                " or of the same ones"
            )


def _blended_environment(
    parts: Sequence[TrainedRun], environments: Sequence[Environment]
) -> Environment:
    """Return the joined environment of the parts; submittable where every part is."""
    strictest = min(environments, key=lambda item: item.may_submit)
    known, dirty = commit()
    return replace(
        strictest.with_hardware(environments),
        commit=known,
        dirty=dirty,
        parts={part.run.name: part.run.predictions_digest() for part in parts},
    )
