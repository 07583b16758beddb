"""`make coverage`: how often the score lies inside its prediction interval, on labelled rows only.

Counted twice: on resamples of finished runs' out-of-fold rows, and on re-splits, where a fraction
of the labelled rows is held out and a recipe is trained on the rest.
"""

from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.data.files import read_json, write_json
from digit_recognizer.errors import RunError

COUNTS = "  {inside} of {n} inside, {below} below, {above} above; mean width {mean_width:.5f}"


def coverage(
    *,
    runs: Annotated[str | None, Parameter(help="finished runs, separated by spaces")] = None,
    resamples: Annotated[options.Positive, Parameter(help="resamples of those runs' rows")] = 1000,
    resplits: Annotated[options.NonNegative, Parameter(help="re-splits to train; 0: none")] = 5,
    data: options.DatasetName = None,
    recipe: options.RecipeName = "quick",
    execution: options.Execution = options.Execution(),
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Count how often scores lie in their prediction interval."""
    changed, names = options.chosen_recipe(recipe, settings), (runs or "").split()
    from digit_recognizer.runs.request import are_several

    if runs is not None and not are_several(names):
        raise RunError("RUNS: give two or more different finished runs of one dataset")
    from digit_recognizer.extras.coverage.trials import count_resamples, count_resplits
    from digit_recognizer.training.parallel import find_backend

    path = folders.submissions_dir / "coverage.json"
    report = read_json(path, "delete it") if path.is_file() else {}
    echo("how often the score lies inside its prediction interval (95 of 100 should)")
    if runs is not None:
        counts = report["resamples"] = count_resamples(folders, names, resamples)
        write_json(path, report)
        echo(f"\nresamples of {counts['n_rows']:,} out-of-fold rows of {runs}")
        echo(COUNTS.format(**counts))
        echo("  They share one set of rows and networks: they are not independent.")
    if resplits > 0:
        folder = folders.data_dir / ready_dataset(data, folders)
        train, devices = find_backend(execution.backend, execution.device, execution.workers)
        counts = report["resplits"] = count_resplits(folder, changed, resplits, train, devices)
        write_json(path, report)
        echo(f"\nre-splits of {folder.name}, trained anew")
        echo(COUNTS.format(**counts))
