"""``train``: train a recipe, ensemble its members, write submission.csv and the CV report."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo, format_columns, spinner
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.errors import UserError

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
    # Wrong settings and names are refused before anything begins.
    chosen = options.chosen_recipe(recipe, settings)
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import new_run

    if run:
        new_run(folders.submissions_dir, run)
    dataset = ready_dataset(data, folders)
    pipeline = open_pipeline(dataset, execution, folders)
    request = Request(dataset, Path(recipe).name, chosen)
    target = new_run(folders.submissions_dir, run or request.run_name)
    print_results(pipeline.train(target, request))


def open_pipeline(name: str, execution: options.Execution, folders: options.Folders) -> "Pipeline":
    """Load the dataset called `name` and find the devices to train on."""
    from digit_recognizer.data.dataset import load_dataset

    # Loaded first: torch takes seconds to import, and an error does not have to wait for it.
    data = load_dataset(folders.data_dir / name)
    with spinner("loading PyTorch"):
        from digit_recognizer.commands.training_display import TrainingDisplay
        from digit_recognizer.pipeline import Pipeline
        from digit_recognizer.training.parallel import find_backend

        backend, devices = find_backend(execution.backend, execution.device, execution.workers)
    return Pipeline(data, devices, backend, TrainingDisplay())


def print_results(results: "RunResults") -> None:
    """Draw the pictures and the page of a run; print how good it is, and what comes next."""
    from digit_recognizer.pipeline import draw
    from digit_recognizer.runs.metrics import CV_WARNING

    run, cv = results.run, results.cv
    if results.was_finished:
        when = datetime.fromtimestamp(run.cv_path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        echo(f"already finished on {when}: nothing was done: give another RUN to make a new one")
    report = run.report_path if draw(results) else "-"
    if cv.suspicious:
        echo(f"warning: {CV_WARNING}")
    command = "submit" if cv.may_submit else "play"
    lines = [
        ("CV accuracy", f"{cv.cv_accuracy:.5f} ({cv.n_errors} errors in {cv.n_rows:,} rows)"),
        ("expected score", str(cv.expected_score)),
        ("best other run", _best_other_run(results)),
        ("report", str(report)),
        ("next", f"'make {command} RUN={run.name}'"),
    ]
    echo(format_columns(lines))


def _best_other_run(results: "RunResults") -> str:
    """Compare a run with the best other one on the same data, and as many rows of it."""
    from digit_recognizer.runs.run import all_runs

    run, cv, data = results.run, results.cv, results.environment.data
    others = []
    for other in all_runs(run.run_dir.parent):
        with suppress(UserError, OSError):  # of a damaged run, which `runs` names
            if other != run and other.cv_path.is_file() and other.environment().data == data:
                found = other.cv()
                if found.n_rows == cv.n_rows:  # a few folds may be easier than all
                    others.append((found.cv_accuracy, other.name))
    if not others:
        return "none on this data with as many rows"
    accuracy, name = max(others)
    return f"{accuracy:.5f} ({name}; this run {cv.cv_accuracy - accuracy:+.5f})"
