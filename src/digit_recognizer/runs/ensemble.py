"""From members' predictions to scores, ``oof.csv``, ``submission.csv`` and ``cv.json``.

A run's members, or those of several runs: a blend averages runs from their predictions alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from digit_recognizer.data.competition import Dataset, write_submission
from digit_recognizer.data.dataset import load
from digit_recognizer.data.files import write_json
from digit_recognizer.errors import RunError
from digit_recognizer.runs.environment import Environment, commit
from digit_recognizer.runs.metrics import CvReport, out_of_fold_scores
from digit_recognizer.runs.predictions import OutOfFold, Proba, assemble, held_out_rows
from digit_recognizer.runs.request import Request
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
        predictions = {member: run.read_member(member) for member in members}
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
        folds = assign_folds(data, self.recipe.n_splits, self.recipe.split_seed)
        for member, item in self.predictions.items():
            held_out = np.flatnonzero(folds == member.fold)
            is_whole = len(item.test_logits) == len(data.test_images)
            if not is_whole or not np.array_equal(item.val_index, held_out):
                raise damaged_error(self.run.predictions_path(member), "is of other rows")


@dataclass(frozen=True)
class RunResults:
    """A finished run in memory."""

    run: Run
    request: Request
    environment: Environment
    data: Dataset  # that it was trained on
    parts: list[TrainedRun]  # that a blend averages; else the run itself
    oof: OutOfFold
    test_proba: Proba  # [M, 10] by all members: the submission
    cv: CvReport

    @staticmethod
    def read(run: Run, data_dir: Path) -> "RunResults":
        """Read a finished run."""
        if not run.is_done():
            raise run.unfinished_error()
        return finish(run, *_read_inputs(run, data_dir))


def finish(
    run: Run, request: Request, environment: Environment, data: Dataset, parts: list[TrainedRun]
) -> RunResults:
    """Score a run whose members are trained; write its results, ``cv.json`` last, if one is missing."""
    for part in parts:
        part.check_rows(data)
    predictions = assemble([part.predictions for part in parts])
    oof = OutOfFold.of(predictions, data.labels[predictions.rows])
    test_labels, solution = predictions.test_proba.argmax(axis=1), data.solution
    if run.is_done():
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
        oof.write(run.oof_path)
        write_submission(run.submission_path, test_labels)
        write_json(run.cv_path, cv)
    return RunResults(run, request, environment, data, parts, oof, predictions.test_proba, cv)


def ensure_finished(run: Run, data_dir: Path) -> None:
    """Write the results of a run whose members are trained, if one is missing."""
    if not run.is_done():
        inputs = _read_inputs(run, data_dir)
        with run.lock():
            finish(run, *inputs)


def _read_inputs(
    run: Run, data_dir: Path
) -> tuple[Request, Environment, Dataset, list[TrainedRun]]:
    """Read what `finish` takes; refuse parts that changed since they were blended."""
    parts = [TrainedRun.read(part) for part in run.parts()]
    request, environment = run.request(), run.environment()
    if request.blend_of and _digests(parts) != environment.parts:
        fault = f"a part changed since it was blended: delete {run.name} and blend again"
        raise RunError(f"{run.run_dir}: {fault}")
    return request, environment, data_of(run, data_dir), parts


def _digests(parts: Sequence[TrainedRun]) -> dict[str, str]:
    return {part.run.name: part.run.predictions_digest() for part in parts}


def data_of(run: Run, data_dir: Path) -> Dataset:
    """Read the data that a run was trained on."""
    data = load(data_dir / run.request().dataset)
    assert data.provenance is not None  # as `load` returns it
    if data.provenance.sha256 != run.environment().data:
        raise RunError(f"{run.run_dir}: was trained on other data than {data_dir} holds now")
    return data


def blend(data_dir: Path, submissions_dir: Path, names: Sequence[str], run_name: str) -> RunResults:
    """Average finished runs into the run `run_name`; each weighs the same."""
    if len(set(names)) < max(2, len(names)):
        raise RunError(f"RUNS is {' '.join(names)!r}: give two or more different runs to blend")
    if run_name in names:
        raise RunError(f"RUN is {run_name!r}, which is one of RUNS: give the blend another name")
    run = new_run(submissions_dir, run_name)
    parts = [TrainedRun.read(find_run(submissions_dir, name)) for name in names]
    environments = [part.run.environment() for part in parts]
    _check_same_rows(parts, environments)
    data = data_of(parts[0].run, data_dir)
    for part in parts:  # before anything is written
        part.check_rows(data)
        part.run.seconds()
    known, dirty = commit()
    strictest = min(environments, key=lambda item: item.may_submit).with_hardware(environments)
    environment = replace(strictest, commit=known, dirty=dirty, parts=_digests(parts))
    request = Request(parts[0].run.request().dataset, "blend", None, tuple(names))
    with run.begin(request, environment) as environment:
        return finish(run, request, environment, data, parts)


def _check_same_rows(parts: Sequence[TrainedRun], environments: Sequence[Environment]) -> None:
    first, rows = parts[0].run.name, held_out_rows(parts[0].predictions)
    for part, environment in zip(parts, environments, strict=True):
        has_same_rows = np.array_equal(held_out_rows(part.predictions), rows)
        if environment.data != environments[0].data or not has_same_rows:
            fault = f"is of other data or held-out rows than {first}: blend runs of the same ones"
            raise RunError(f"{part.run.run_dir}: {fault}")
