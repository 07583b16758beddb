"""``train``: train a recipe, ensemble its members, write submission.csv and the CV report."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import TrainingDisplay, echo, working
from digit_recognizer.commands.cv import print_cv
from digit_recognizer.commands.download import SAMPLE_NOTE, ready_dataset
from digit_recognizer.commands.options import (
    DatasetName,
    Execution,
    Folders,
    NewRun,
    RecipeName,
    Settings,
    changes,
)
from digit_recognizer.errors import RecipeError
from digit_recognizer.training.recipe import named_recipe, recipes_in

if TYPE_CHECKING:
    from digit_recognizer.pipeline import Pipeline
    from digit_recognizer.runs.ensemble import RunResults


def train(
    *,
    data: DatasetName = None,
    recipe: RecipeName = "default",
    run: NewRun = None,
    execution: Execution = Execution(),
    settings: Settings = Settings(),
    folders: Folders = Folders(),
) -> None:
    """Train, ensemble, write submission.csv and the CV report."""
    check_recipes([recipe], settings)
    dataset = ready_dataset(data, folders)
    pipeline = open_pipeline(dataset, execution, folders)
    show(pipeline.train_recipe(recipe, changes(settings), run))
    if dataset == "sample":
        echo(SAMPLE_NOTE)


def check_recipes(names: Sequence[str], settings: Settings) -> None:
    """Refuse unknown recipes and settings that do not fit, before anything begins."""
    for name in names:
        parts = [named_recipe(part, changes(settings)) for part in recipes_in(name)]
        if len(set(parts)) < len(parts):
            raise RecipeError(f"{name} averages different runs, and these settings make them one")


def open_pipeline(dataset: str, execution: Execution, folders: Folders) -> "Pipeline":
    """Load a dataset and find the devices to train on."""
    from digit_recognizer.data.dataset import load

    data = load(folders.data_dir / dataset)  # or an error, before torch takes seconds to import
    with working("loading PyTorch"):
        from digit_recognizer.pipeline import Pipeline, find_backend
        from digit_recognizer.training.device import find_devices
        from digit_recognizer.training.parallel import worker_devices

        devices = worker_devices(find_devices(execution.device), execution.workers)
        backend = find_backend(execution.backend)
    return Pipeline(folders.submissions_dir, dataset, data, devices, backend, TrainingDisplay())


def show(results: "RunResults") -> None:
    """Print the CV report of a finished run; draw its pictures and page."""
    from digit_recognizer.pipeline import draw

    print_cv(results.run.name, results.cv)
    echo(f"\nsubmission: {results.run.submission_path}")
    for path in draw(results):
        echo(f"to look at: {path}")
