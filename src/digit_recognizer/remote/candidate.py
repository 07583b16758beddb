"""What is about to be uploaded, and every reason not to that needs no network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.remote.ledger import Entry
from digit_recognizer.storage.competition import read_submission
from digit_recognizer.storage.datasets import COMPETITION, PRACTICE
from digit_recognizer.storage.files import read_json, sha256
from digit_recognizer.storage.runs import Run, RunError


@dataclass(frozen=True)
class Candidate:
    """A file that passed every check that needs no network."""

    file: Path
    name: str  # the run's, or the file's where it belongs to none
    digest: str
    n_rows: int
    report: dict[str, Any] | None  # the run's cv.json, where the file is the run's own
    message: str


def check(
    run: Run | None, submissions_dir: Path, data_dir: Path, file: Path | None, message: str | None
) -> Candidate:
    """Everything that can be checked without the network; StorageError with what is wrong."""
    path = file or (run.submission_path if run else None)
    if path is None:
        raise RunError("there is neither a run nor a FILE to submit")
    if run is None and path.is_file():
        run = _owner(sha256(path), submissions_dir)
    dataset = COMPETITION
    if run is not None:
        dataset = str(run.request()["dataset"])
        _refuse_provenance(run)
    sample = read_submission(data_dir / dataset / "sample_submission.csv", None)
    read_submission(path, len(sample))
    digest = sha256(path)
    report = None
    if run is not None and run.is_done() and sha256(run.submission_path) == digest:
        report = read_json(run.cv_path)
    name = run.name if run else path.stem
    cv = f" cv={report['cv_accuracy']:.5f}" if report else ""
    return Candidate(path, name, digest, len(sample), report, message or f"{name}{cv}")


def _owner(digest: str, submissions_dir: Path) -> Run | None:
    """The run whose submission has the same bytes."""
    for path in sorted(submissions_dir.glob("*/submission.csv")):
        if sha256(path) == digest:
            return Run(path.parent)
    return None


def _refuse_provenance(run: Run) -> None:
    environment = read_json(run.environment_path)
    if environment["may_submit"]:
        return
    source = environment["source"]
    if environment["repeats"] and source not in PRACTICE:
        raise RunError(
            f"{run.run_dir}: {environment['repeats']} test images stand in its training rows: its"
            " score would mean nothing, so it is not submitted; get the data with 'make download'"
        )
    raise RunError(
        f"{run.run_dir}: was trained on data from {source!r}, which may never be submitted: run"
        f" 'make download', then 'make train DATA={COMPETITION}'"
    )


def refuse_repeat(candidate: Candidate, entries: list[Entry]) -> None:
    """RunError if a file of the same content is in the ledger already."""
    for entry in reversed(entries):
        if entry.file_sha256 == candidate.digest:
            score = "no score yet" if entry.public_score is None else f"{entry.public_score:.5f}"
            raise RunError(
                f"{candidate.file}: the same file was uploaded on {entry.time[:10]} as"
                f" {entry.run} (public score: {score}): give FORCE=1 to upload it again"
            )
