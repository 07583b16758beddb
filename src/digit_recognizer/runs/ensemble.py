"""From members' predictions to scores, ``oof.csv``, ``submission.csv`` and ``cv.json``.

A run's members, or those of several runs: a blend averages runs from their predictions alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.competition import write_submission
from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.data.files import sha256, write_json
from digit_recognizer.errors import RunError
from digit_recognizer.runs.environment import Environment, code_version
from digit_recognizer.runs.metrics import CvReport, out_of_fold_scores
from digit_recognizer.runs.predictions import OutOfFold, assemble, held_out_rows
from digit_recognizer.runs.request import Request, are_several
from digit_recognizer.runs.run import Run, damaged_error, find_run, new_run
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.members import EpochMetrics, Member, Predictions, assign_folds
from digit_recognizer.training.recipe import Recipe


@dataclass(frozen=True)
class TrainedRun:
    """The members of an ordinary run in memory; an ordinary run is one that is not a blend."""

    run: Run
    recipe: Recipe
    predictions: dict[Member, Predictions]
    histories: dict[Member, tuple[EpochMetrics, ...]]

    @classmethod
    def read_available(cls, run: Run) -> "TrainedRun":
        """Read the members of an ordinary run that are trained so far."""
        recipe, members = run.recipe(), run.finished_members()
        predictions = {member: run.read_predictions(member) for member in members}
        histories = {member: run.read_history(member) for member in members}
        return cls(run, recipe, predictions, histories)

    @classmethod
    def read(cls, run: Run) -> "TrainedRun":
        """Read the members of a run, all of which must be trained."""
        part = cls.read_available(run)
        if len(part.predictions) < len(run.request().members):
            raise run.unfinished_error()
        return part

    def check_rows(self, data: Dataset) -> None:
        """Refuse predictions of other rows than those of the data's folds."""
        folds = assign_folds(data, self.recipe)
        for member, item in self.predictions.items():
            held_out = np.flatnonzero(folds == member.fold)
            is_whole = len(item.test_logits) == len(data.test_images)
            if not is_whole or not np.array_equal(item.val_index, held_out):
                raise damaged_error(self.run.predictions_path(member), "has other rows")


@dataclass(frozen=True)
class RunResults:
    """A finished run in memory."""

    run: Run
    request: Request
    environment: Environment
    data: Dataset  # the data it was trained on
    parts: list[TrainedRun]  # the runs that a blend averages; else the run itself
    oof: OutOfFold
    test_labels: NDArray[np.int64]  # [M] by all members: the submission
    cv: CvReport
    was_finished: bool  # its scores were read: nothing is to be written

    @staticmethod
    def read(run: Run, data_dir: Path) -> "RunResults":
        """Read a finished run."""
        if not run.is_finished():
            raise run.unfinished_error()
        return _read_and_evaluate(run, data_dir)


def evaluate(
    run: Run, request: Request, environment: Environment, data: Dataset, parts: list[TrainedRun]
) -> RunResults:
    """Combine the predictions of a run's members: out-of-fold rows, test rows, scores.

    A finished run has its scores already.
    """
    predictions = assemble([part.predictions for part in parts])
    oof = OutOfFold.of(predictions, data.labels[predictions.rows])
    test_labels, solution = predictions.test_proba.argmax(axis=1), data.solution
    was_finished = run.is_finished()
    if was_finished:
        cv = run.cv()
    else:
        epochs = [e for part in parts for history in part.histories.values() for e in history]
        cv = CvReport(
            **out_of_fold_scores(oof.labels, oof.folds, predictions.oof_proba),
            expected_score=expected_score(oof.labels, predictions),
            test_accuracy=None if solution is None else float((test_labels == solution).mean()),
            n_members=sum(len(part.predictions) for part in parts),
            seconds=sum(part.run.seconds() for part in parts),
            augment_share=sum(e.augment_seconds for e in epochs) / sum(e.seconds for e in epochs),
            may_submit=environment.may_submit,
            n_duplicates=data.n_duplicates,
        )
    return RunResults(run, request, environment, data, parts, oof, test_labels, cv, was_finished)


def write_results(results: RunResults) -> None:
    """Write out-of-fold rows, submission and scores, ``cv.json`` last, unless all are there."""
    run = results.run
    if not results.was_finished:
        results.oof.write(run.oof_path)
        write_submission(run.submission_path, results.test_labels)
        write_json(run.cv_path, results.cv)


def ensure_finished(run: Run, data_dir: Path) -> None:
    """Write the results of a run whose members are trained, if one is missing."""
    if not run.is_finished():
        with run.lock():
            write_results(_read_and_evaluate(run, data_dir))


def _read_and_evaluate(run: Run, data_dir: Path) -> RunResults:
    """Evaluate a run from its files; refuse parts that changed since they were blended."""
    parts = [TrainedRun.read(part) for part in run.parts()]
    request, environment = run.request(), run.environment()
    if request.blend_of and _digests(parts) != environment.parts:
        fault = f"a part changed since it was blended: delete {run.name} and blend again"
        raise RunError(f"{run.run_dir}: {fault}")
    data = load_run_data(run, data_dir)
    for part in parts:
        part.check_rows(data)
    return evaluate(run, request, environment, data, parts)


def _digests(parts: Sequence[TrainedRun]) -> dict[str, str]:
    """Return a hash for each run, which changes where any member's predictions change."""
    digests = {}
    for part in parts:
        paths = {member.name: part.run.predictions_path(member) for member in part.predictions}
        lines = sorted(f"{name} {sha256(path)}" for name, path in paths.items())
        digests[part.run.name] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return digests


def load_run_data(run: Run, data_dir: Path) -> Dataset:
    """Read the data that a run was trained on."""
    data = load_dataset(data_dir / run.request().dataset)
    assert data.provenance is not None  # as `load_dataset` returns it
    if data.provenance.sha256 != run.environment().data:
        raise RunError(f"{run.run_dir}: was trained on other data than {data_dir} holds now")
    return data


def blend(data_dir: Path, submissions_dir: Path, names: Sequence[str], run_name: str) -> RunResults:
    """Average finished runs into the run `run_name`; each weighs the same."""
    if not are_several(names):
        raise RunError(f"RUNS is {' '.join(names)!r}: give two or more different runs to blend")
    if run_name in names:
        raise RunError(f"RUN is {run_name!r}, which is one of RUNS: give the blend another name")
    run = new_run(submissions_dir, run_name)
    parts = [TrainedRun.read(find_run(submissions_dir, name)) for name in names]
    environments = [part.run.environment() for part in parts]
    _check_same_rows(parts, environments)
    data = load_run_data(parts[0].run, data_dir)
    for part in parts:  # before anything is written
        part.check_rows(data)
        part.run.seconds()  # refuses a damaged file
    commit, dirty = code_version()
    # One that may not be submitted, if there is any.
    strictest = min(environments, key=lambda item: item.may_submit).with_hardware(environments)
    environment = replace(strictest, commit=commit, dirty=dirty, parts=_digests(parts))
    request = Request(parts[0].run.request().dataset, "blend", None, tuple(names))
    with run.begin(request, environment) as environment:
        results = evaluate(run, request, environment, data, parts)
        write_results(results)
    return results


def _check_same_rows(parts: Sequence[TrainedRun], environments: Sequence[Environment]) -> None:
    first, rows = parts[0].run.name, held_out_rows(parts[0].predictions)
    for part, environment in zip(parts, environments, strict=True):
        has_same_rows = np.array_equal(held_out_rows(part.predictions), rows)
        if environment.data != environments[0].data or not has_same_rows:
            fault = f"has other data or held-out rows than {first}: blend runs with the same ones"
            raise RunError(f"{part.run.run_dir}: {fault}")
