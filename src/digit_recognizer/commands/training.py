"""What makes runs: `train` and `blend`, and a recipe's finished run for whoever needs one."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.dataset import SAMPLE_NOTE, ready_dataset
from digit_recognizer.commands.looking import draw_report, print_result
from digit_recognizer.commands.screen import say
from digit_recognizer.learning.recipe import BLENDS, Recipe, RecipeError, named_recipe, parts_of

if TYPE_CHECKING:
    from digit_recognizer.storage.runs import Run


def train(arguments: Namespace) -> None:
    """Train, ensemble, write submission and CV report."""
    check_recipes(arguments, [arguments.recipe])
    dataset = ready_dataset(arguments)
    run = trained_run(arguments, dataset, arguments.recipe, arguments.run)
    _show(run, arguments.data_dir)
    if dataset == "sample":
        say(SAMPLE_NOTE)


def blend(arguments: Namespace) -> None:
    """Average finished runs into a new one."""
    from digit_recognizer.stages import blend as stage
    from digit_recognizer.stages.ensemble import finish

    names = arguments.runs.split()
    run = stage.blend(arguments.data_dir, arguments.submissions_dir, names, arguments.run)
    finish(run, arguments.data_dir)
    _show(run, arguments.data_dir)


def _show(run: "Run", data_dir: Path) -> None:
    """Print a finished run's report, and where there is something to look at."""
    from digit_recognizer.stages.pictures import draw_pictures

    print_result(run)
    for path in draw_pictures(run, data_dir):
        say(f"to look at: {path}")
    draw_report(run, data_dir)


def asked_recipe(arguments: Namespace, name: str) -> Recipe:
    """The recipe called `name`, with the settings that stand on the command line."""
    changes = {
        key.removeprefix("setting_"): value
        for key, value in vars(arguments).items()
        if key.startswith("setting_")
    }
    return named_recipe(name, changes)


def check_recipes(arguments: Namespace, names: Sequence[str]) -> None:
    """RecipeError if one is unknown or a setting does not fit it: before anything is begun."""
    for name in names:
        parts = [asked_recipe(arguments, part) for part in parts_of(name)]
        if len(set(parts)) < len(parts):
            raise RecipeError(f"{name} averages different runs, and these settings make them one")


def trained_run(arguments: Namespace, dataset: str, name: str, run: str | None = None) -> "Run":
    """The finished run of a recipe, called `run`: what is missing of it is trained."""
    from digit_recognizer.display import TrainingDisplay
    from digit_recognizer.stages import train as stage
    from digit_recognizer.stages.ensemble import finish

    if name in BLENDS:
        return _trained_blend(arguments, dataset, name, run)
    trained = stage.train(
        arguments.data_dir,
        arguments.submissions_dir,
        stage.Request(dataset, name, asked_recipe(arguments, name)),
        run,
        arguments.device,
        arguments.workers,
        TrainingDisplay(),
        say,
        arguments.backend,
    )
    finish(trained, arguments.data_dir)
    return trained


def _trained_blend(arguments: Namespace, dataset: str, name: str, run: str | None) -> "Run":
    from digit_recognizer.stages import blend as stage
    from digit_recognizer.stages.ensemble import finish

    names: list[str] = []
    for part in parts_of(name):
        say(f"{name}: {part}, part {len(names) + 1} of {len(parts_of(name))}")
        names.append(trained_run(arguments, dataset, part).name)
    run = run or stage.blend_name(dataset, name, parts_of(name), names)
    blended = stage.blend(arguments.data_dir, arguments.submissions_dir, names, run, name)
    finish(blended, arguments.data_dir)
    return blended
