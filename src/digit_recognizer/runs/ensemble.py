"""Members' predictions become scores, ``oof.csv``, ``submission.csv`` and ``cv.json``."""

from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.data.competition import Dataset, hashes_of, write_submission
from digit_recognizer.data.dataset import load
from digit_recognizer.errors import RunError
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.lock import lock_run
from digit_recognizer.runs.metrics import CvReport, is_suspicious, out_of_fold_scores
from digit_recognizer.runs.predictions import EnsemblePredictions, OutOfFold, assemble
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run, damaged_error
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.members import EpochMetrics, Member, Predictions, all_members
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
        """Read the members of a run that are trained so far."""
        members = run.finished_members()
        predictions = {member: run.read_member(member) for member in members}
        histories = {member: run.read_history(member) for member in members}
        return cls(run, run.recipe(), predictions, histories)

    @classmethod
    def read(cls, run: Run) -> "TrainedRun":
        """Read the members of a run, all of which must be trained."""
        if run.missing_members():
            raise run.unfinished_error()
        return cls.read_available(run)

    def check_rows(self, data: Dataset) -> None:
        """Refuse predictions of other rows than the data's, and rows that are not held out once."""
        held_out: dict[int, set[int]] = {member.seed: set() for member in self.predictions}
        for member, item in self.predictions.items():
            rows, before = set(item.val_index.tolist()), held_out[member.seed]
            fits = max(rows) < len(data.labels) and len(item.test_logits) == len(data.test_images)
            if not fits or rows & before:
                raise damaged_error(self.run.predictions_path(member), "is of other rows")
            before |= rows
        if len(self.predictions) == len(all_members(self.recipe)):
            every = set(range(len(data.labels)))
            whole = every if self.recipe.folds == "all" else next(iter(held_out.values()))
            if any(rows != whole for rows in held_out.values()):
                raise damaged_error(self.run.run_dir / "members", "does not hold out each row once")

    def sorted_by_seed(self) -> "TrainedRun":
        """Return the same with the members in their order: seed by seed."""
        predictions = {member: self.predictions[member] for member in all_members(self.recipe)}
        histories = {member: self.histories[member] for member in predictions}
        return TrainedRun(self.run, self.recipe, predictions, histories)


@dataclass(frozen=True)
class RunResults:
    """A finished run in memory; ``parts`` is the run itself, or the runs that a blend averages.

    ``data`` is what the run was trained on.
    """

    run: Run
    request: Request
    environment: Environment
    data: Dataset
    parts: list[TrainedRun]
    oof: OutOfFold
    cv: CvReport

    @staticmethod
    def read(run: Run, data_dir: Path) -> "RunResults":
        """Read a finished run."""
        if not run.is_done():
            raise run.unfinished_error()
        return finish(run, *_read_inputs(run, data_dir))


def finish(run: Run, data: Dataset, parts: list[TrainedRun]) -> RunResults:
    """Score a run whose members are trained; write its results unless they are there.

    Writes ``oof.csv``, ``submission.csv`` and, last, ``cv.json``. Needs predictions and labels
    only: no network, no GPU.
    """
    for part in parts:
        part.check_rows(data)
    environment = run.environment()
    predictions = assemble([part.predictions for part in parts])
    oof = OutOfFold.of(predictions, data.labels[predictions.rows])
    if run.is_done():
        cv = CvReport.read(run.cv_path)
    else:
        cv = score(data, parts, predictions, may_submit=environment.may_submit)
        oof.write(run.oof_path)
        write_submission(run.submission_path, predictions.test_proba.argmax(axis=1))
        cv.write(run.cv_path)
    return RunResults(run, run.request(), environment, data, parts, oof, cv)


def ensure_finished(run: Run, data_dir: Path) -> None:
    """Write the results of a run whose members are trained, if one is missing."""
    if not run.is_done():
        data, parts = _read_inputs(run, data_dir)
        with lock_run(run):
            finish(run, data, parts)


def score(
    data: Dataset, parts: list[TrainedRun], predictions: EnsemblePredictions, may_submit: bool
) -> CvReport:
    """Return every score of a run, or of a blend of several."""
    labels = data.labels[predictions.rows]
    scores = out_of_fold_scores(labels, predictions.folds, predictions.oof_proba)
    test_accuracy = None
    if data.solution is not None:
        test_accuracy = float((predictions.test_proba.argmax(axis=1) == data.solution).mean())
    epochs = [epoch for part in parts for history in part.histories.values() for epoch in history]
    return CvReport(
        **scores,
        expected_score=expected_score(labels, predictions),
        test_accuracy=test_accuracy,
        n_members=sum(len(part.predictions) for part in parts),
        seconds=sum(part.run.seconds() for part in parts),
        augment_share=sum(e.augment_seconds for e in epochs) / sum(e.seconds for e in epochs),
        may_submit=may_submit,
        suspicious=is_suspicious(scores["cv_accuracy"], len(labels)),
        n_duplicates=data.n_duplicates,
    )


def _read_inputs(run: Run, data_dir: Path) -> tuple[Dataset, list[TrainedRun]]:
    """Read the data and the parts of a run; refuse parts that changed since they were blended."""
    parts = [TrainedRun.read(part) for part in run.parts()]
    digests = run.environment().parts
    for part in run.parts() if run.request().recipe is None else []:
        if part.predictions_digest() != digests.get(part.name):
            raise RunError(
                f"{run.run_dir}: {part.name} changed since it was blended: delete {run.name} and"
                " blend again"
            )
    return data_of(run, data_dir), parts


def data_of(run: Run, data_dir: Path) -> Dataset:
    """Read the data that a run was trained on."""
    data = load(data_dir / run.request().dataset)
    if hashes_of(data) != run.environment().data:
        raise RunError(f"{run.run_dir}: was trained on other data than {data_dir} holds now")
    return data
