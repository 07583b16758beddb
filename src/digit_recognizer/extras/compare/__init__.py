"""`compare`: train recipes on the same folds and compare them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.commands.train import open_pipeline

# Without RECIPES: what others publish for beginners, and ours, in minutes on two cores.
COMPARED = "lenet5 simple-cnn two-conv mlp keras-cnn quick default"


def compare(
    *,
    data: options.DatasetName = None,
    recipes: Annotated[
        str | None, Parameter(help="recipes with spaces between them; else seven of them")
    ] = None,
    execution: options.Execution = options.Execution(),
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Train recipes on the same folds and compare them."""
    names = list(dict.fromkeys((recipes or "").split() or COMPARED.split()))
    # An unknown recipe is refused before anything begins.
    chosen = {name: options.chosen_recipe(name, settings) for name in names}
    dataset = ready_dataset(data, folders)
    pipeline = open_pipeline(dataset, execution, folders)
    from digit_recognizer.extras.compare import comparison
    from digit_recognizer.runs.ensemble import RunResults
    from digit_recognizer.runs.request import Request
    from digit_recognizer.runs.run import new_run

    requests = {name: Request(dataset, Path(name).name, recipe) for name, recipe in chosen.items()}
    folder = folders.submissions_dir
    targets = {name: new_run(folder, request.run_name) for name, request in requests.items()}
    missing = [name for name in names if not targets[name].is_finished()]
    cost = {name: comparison.training_cost(chosen[name]) for name in missing}
    runs: dict[str, RunResults] = {}
    for number, name in enumerate(names, start=1):
        left = comparison.time_left(runs, cost) if name in cost else "finished before"
        echo(f"{name} ({number} of {len(names)}; {left})")
        runs[name] = pipeline.train(targets[name], requests[name])
    reference = comparison.find_reference(runs, folders.data_dir)
    table, paths = comparison.compare_runs(runs, reference, folder)
    echo(comparison.compare_text(table, reference))
    echo("\n" + "\n".join(f"written: {path}" for path in paths))
