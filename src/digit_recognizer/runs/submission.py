"""Checks of a submission that need no network."""

import logging
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.data.competition import read_submission
from digit_recognizer.data.dataset import COMPETITION, UNSUBMITTABLE
from digit_recognizer.data.files import sha256
from digit_recognizer.errors import RunError
from digit_recognizer.runs.metrics import CvReport
from digit_recognizer.runs.run import Run, all_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedSubmission:
    """A file that passed every check that needs no network."""

    file: Path
    name: str  # the run's, or the file's where it belongs to no run
    digest: str
    n_rows: int
    cv: CvReport | None  # where the file is the run's own
    message: str  # its description on Kaggle


def check_submission(
    run: Run | None, file: Path | None, submissions_dir: Path, data_dir: Path, message: str | None
) -> CheckedSubmission:
    """Check a run's submission, or a `file`; without a `message`, describe it by its run."""
    path = file or (run.submission_path if run else None)
    assert path is not None
    digest = sha256(path) if path.is_file() else ""
    run = run or _owner(digest, submissions_dir)
    dataset, cv = COMPETITION, None
    if run is not None:
        dataset = run.request().dataset
        _refuse_provenance(run)
        if run.is_finished() and sha256(run.submission_path) == digest:
            cv = run.cv()
    sample = read_submission(data_dir / dataset / "sample_submission.csv", None)
    labels = read_submission(path, len(sample))
    if len(labels) > 1 and (labels == labels[0]).all():
        logger.warning("warning: %s: every label is %d", path, labels[0])
    name = run.name if run else path.stem
    description = message or (f"{name} cv={cv.cv_accuracy:.5f}" if cv else name)
    return CheckedSubmission(path, name, digest, len(sample), cv, description)


def _owner(digest: str, submissions_dir: Path) -> Run | None:
    """Return the run whose submission has the same bytes."""
    runs = [run for run in all_runs(submissions_dir) if run.submission_path.is_file()]
    return next((run for run in runs if sha256(run.submission_path) == digest), None)


def _refuse_provenance(run: Run) -> None:
    environment = run.environment()
    if environment.may_submit:
        return
    source = environment.source
    if environment.repeats and source not in UNSUBMITTABLE:
        fault = f"{environment.repeats} test images are also training rows"
        reason = "its score would mean nothing, so it is not submitted"
        raise RunError(f"{run.run_dir}: {fault}: {reason}; get the data with 'make download'")
    fault = f"was trained on data from {source!r}, which may never be submitted"
    advice = f"run 'make download', then 'make train DATA={COMPETITION}'"
    raise RunError(f"{run.run_dir}: {fault}: {advice}")
