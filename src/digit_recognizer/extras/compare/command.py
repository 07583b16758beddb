"""`compare`: train recipes on the same folds and compare them."""

import time
from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.commands.options import DatasetName, Execution, Folders, Settings, changes
from digit_recognizer.commands.train import check_recipes, open_pipeline


def compare(
    *,
    data: DatasetName = None,
    recipes: Annotated[
        str | None, Parameter(help="recipes with spaces between them; else seven of them")
    ] = None,
    execution: Execution = Execution(),
    settings: Settings = Settings(),
    folders: Folders = Folders(),
) -> None:
    """Train recipes on the same folds and compare them."""
    names = list(dict.fromkeys((recipes or "").split()))
    check_recipes(names, settings)
    dataset = ready_dataset(data, folders)
    pipeline = open_pipeline(dataset, execution, folders)
    from digit_recognizer.extras.compare.compare import COMPARED, compare_runs, find_reference
    from digit_recognizer.extras.compare.table import compare_text
    from digit_recognizer.runs.metrics import duration
    from digit_recognizer.runs.request import Request

    names, runs, started = names or list(COMPARED), {}, time.monotonic()
    for number, name in enumerate(names, start=1):
        echo(f"{name} ({number} of {len(names)}, {duration(time.monotonic() - started)} so far)")
        runs[name] = pipeline.train_recipe(name, changes(settings))
        echo(f"{name}: {runs[name].run.run_dir} is finished")
    default = Request.of(dataset, "default", changes(settings))
    reference = find_reference(runs, default.run_name, folders.data_dir)
    rows, paths = compare_runs(runs, reference, folders.submissions_dir)
    echo(compare_text(rows, reference.run.name if reference else None))
    echo("\n" + "\n".join(f"written: {path}" for path in paths))
