"""The command `kernel`: what Kaggle imports must do without cyclopts."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo
from digit_recognizer.commands.cv import cv


def kernel(
    *,
    run: options.NewRun = None,
    recipe: options.RecipeName = "default",
    wait: Annotated[options.Positive, Parameter(help="minutes to wait for the kernel's end")] = 180,
    force: Annotated[options.Flag, Parameter(help="push the kernel again if it has ended")] = False,
    notebook: Annotated[
        options.UserPath | None,
        Parameter(help="only write this .ipynb, for Kaggle's editor or Colab; needs no token"),
    ] = None,
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Train on Kaggle's GPU and fetch the run."""
    from digit_recognizer.data.dataset import COMPETITION
    from digit_recognizer.extras.kernel import archive
    from digit_recognizer.extras.kernel.kernel import train_on_kaggle
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import new_run

    chosen = options.chosen_recipe(recipe, settings)
    request = Request(COMPETITION, Path(recipe).name, chosen)
    target = new_run(folders.submissions_dir, run or request.run_name)
    if notebook:
        archive.write_notebook(notebook, target.name, archive.kernel_script(target.name, request))
        echo(f"{notebook}: import it in Kaggle's editor or Colab; its first cell says how to go on")
        return
    if train_on_kaggle(target, request, force, wait * 60.0):
        cv(run=target.name, folders=folders)
        echo(f"\nsubmission: {target.submission_path}")
