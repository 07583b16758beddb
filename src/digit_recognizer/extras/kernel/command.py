"""Train on Kaggle's GPU and fetch the run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo, waiting_progress
from digit_recognizer.errors import UserError


def kernel(
    *,
    run: options.NewRun = None,
    recipe: options.RecipeName = "default",
    wait: Annotated[options.Positive, Parameter(help="for the end, minutes at most")] = 180,
    force: Annotated[
        options.Flag, Parameter(help="push it again although it ended, well or not")
    ] = False,
    notebook: Annotated[
        Path | None,
        Parameter(help="only write this .ipynb, for Kaggle's editor or Colab; needs no token"),
    ] = None,
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Train on Kaggle's GPU and fetch the run."""
    from digit_recognizer.commands.cv import cv
    from digit_recognizer.data.dataset import COMPETITION, is_fetched
    from digit_recognizer.extras.kernel.archive import kernel_script, write_notebook
    from digit_recognizer.extras.kernel.kernel import train_on_kaggle
    from digit_recognizer.pipeline import draw
    from digit_recognizer.runs.ensemble import RunResults
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import new_run

    request = Request.of(COMPETITION, recipe, options.changes(settings))
    target = new_run(folders.submissions_dir, run or request.run_name)
    if notebook:
        write_notebook(notebook, target.name, kernel_script(target.name, request))
        echo(f"{notebook}: import it in Kaggle's editor or Colab; its first cell says how to go on")
        return
    with waiting_progress() as waiting:
        is_done = train_on_kaggle(target, request, force, wait * 60.0, waiting)
    if not is_done:
        return
    cv(run=target.name, folders=folders)
    echo(f"\nsubmission: {target.submission_path}")
    if is_fetched(folders.data_dir / COMPETITION):  # the page shows digits of it
        try:
            for path in draw(RunResults.read(target, folders.data_dir)):
                echo(f"to look at: {path}")
        except UserError as error:
            echo(f"warning: no pictures and no page: {error}")
