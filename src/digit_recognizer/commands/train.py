"""``train``: train a recipe, ensemble its members, write submission.csv and the CV report."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands import options
from digit_recognizer.commands.console import columns, echo, working
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.errors import UserError
from digit_recognizer.training.recipe import named_recipe

if TYPE_CHECKING:
    from digit_recognizer.pipeline import Pipeline
    from digit_recognizer.runs.ensemble import RunResults


def train(
    *,
    data: options.DatasetName = None,
    recipe: options.RecipeName = "default",
    run: options.NewRun = None,
    execution: options.Execution = options.Execution(),
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Train, ensemble, write submission.csv and the CV report."""
    began = time.time()
    chosen = named_recipe(recipe, options.changes(settings))  # refused before anything begins
    if run:
        from digit_recognizer.runs.run import new_run

        new_run(folders.submissions_dir, run)  # refuses a name before anything begins
    dataset = ready_dataset(data, folders)
    pipeline = open_pipeline(dataset, execution, folders)
    from digit_recognizer.runs.request import Request

    request = Request(dataset, Path(recipe).name, chosen)
    show(pipeline.train(request, run), began)


def open_pipeline(
    dataset: str, execution: options.Execution, folders: options.Folders
) -> "Pipeline":
    """Load a dataset and find the devices to train on."""
    from digit_recognizer.data.dataset import load

    data = load(folders.data_dir / dataset)  # or an error, before torch takes seconds to import
    with working("loading PyTorch"):
        from digit_recognizer.commands.training_display import TrainingDisplay
        from digit_recognizer.pipeline import Pipeline, find_backend

        backend, devices = find_backend(execution.backend, execution.device, execution.workers)
    return Pipeline(folders.submissions_dir, data, devices, backend, TrainingDisplay())


def show(results: "RunResults", began: float) -> None:
    """Draw the pictures and the page of a run; print how good it is, and what comes next.

    `began` is when the command began, in seconds since 1970.
    """
    from digit_recognizer.pipeline import draw

    run, cv = results.run, results.cv
    finished = run.cv_path.stat().st_mtime
    if finished < began:
        when = datetime.fromtimestamp(finished).strftime("%Y-%m-%d %H:%M")
        echo(f"already finished on {when}: nothing was done: give another RUN to make a new one")
    report = run.report_path if draw(results) else "-"
    if cv.suspicious:
        echo("warning: this is better than the labels allow: look for leaked test rows")
    expected = cv.expected_score
    command = "submit" if cv.may_submit else "play"
    lines = [
        ("out of fold", f"{cv.cv_accuracy:.5f} ({cv.n_errors} errors in {cv.n_rows:,} rows)"),
        ("expected score", f"{expected.low:.5f} to {expected.high:.5f}"),
        ("best other run", _beside(cv.cv_accuracy, max(_others(results), default=None))),
        ("report", str(report)),
        ("next", f"'make {command} RUN={run.name}'"),
    ]
    echo(columns(lines))


def _beside(accuracy: float, other: tuple[float, str] | None) -> str:
    if other is None:
        return "none on as many rows of this data"
    return f"{other[0]:.5f}, {other[1]}: this one {accuracy - other[0]:+.5f}"


def _others(results: "RunResults") -> "Iterator[tuple[float, str]]":
    """Yield accuracy and name of each other finished run on the same data, and as many rows of it.

    A few folds may be easier than all.
    """
    from digit_recognizer.runs.run import all_runs

    run, data = results.run, results.environment.data
    for other in all_runs(run.run_dir.parent):
        with suppress(UserError, OSError):  # of a damaged run, which `runs` names
            if other != run and other.cv_path.is_file() and other.environment().data == data:
                cv = other.cv()
                if cv.n_rows == results.cv.n_rows:
                    yield cv.cv_accuracy, other.name
