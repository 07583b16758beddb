"""Finding a run, by its name or as the latest finished, and the data that it was trained on."""

from pathlib import Path

from digit_recognizer.storage import datasets
from digit_recognizer.storage.competition import Competition
from digit_recognizer.storage.files import read_json
from digit_recognizer.storage.runs import Run, RunError, checked_name


def find_run(submissions_dir: Path, name: str | None) -> Run:
    """The run called `name`, finished or not, or the one finished last; RunError if there is none."""
    if name is None:
        return latest_run(submissions_dir)
    run = Run(submissions_dir / checked_name(name))
    if not run.recipe_path.is_file():
        raise RunError(f"{run.run_dir}: there is no such run: 'make train RUN={name}' makes it")
    return run


def latest_run(submissions_dir: Path) -> Run:
    """The run that was finished last.

    Raises
    ------
    RunError
        If there is none.
    """
    finished = list(submissions_dir.glob("*/cv.json"))
    if not finished:
        raise RunError(f"{submissions_dir}: holds no finished run: run 'make train' first")
    newest = max(finished, key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    return Run(newest.parent)


def data_of(run: Run, data_dir: Path) -> Competition:
    """The data that a run was trained on.

    Raises
    ------
    StorageError
        If it is missing, damaged, or no longer the same: RunError.
    """
    data, provenance = datasets.load(data_dir / run.request()["dataset"])
    if provenance.sha256 != read_json(run.environment_path)["data"]:
        raise RunError(f"{run.run_dir}: was trained on other data than {data_dir} holds now")
    return data
