"""The command `coverage` and its text."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from digit_recognizer.commands import options
from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.training.recipe import named_recipe

COUNTS = "  {inside} of {n} inside, {below} below, {above} above; mean width {mean_width:.5f}"


def coverage_text(resamples: Mapping[str, Any] | None, resplits: Mapping[str, Any] | None) -> str:
    """Format the content of ``coverage.json``, either half of which may be missing."""
    lines = ["how often the score lies inside its expected interval (95 of 100 is the aim)"]
    if resamples:
        runs = " ".join(resamples["runs"])
        lines += ["", f"resamples of {resamples['n_rows']:,} out-of-fold rows of {runs}"]
        text = "{n_seeds} of these runs for an out-of-fold row:" + COUNTS
        lines += [f"  {text.format(**counts)}" for counts in resamples["counts"]]
        lines.append("  They share one set of rows and networks: they are not independent.")
    if resplits:
        lines += ["", f"re-splits of {resplits['dataset']}, trained anew"]
        lines.append(COUNTS.format(**resplits["counts"]))
    return "\n".join(lines)


def coverage(
    *,
    runs: Annotated[
        str | None, Parameter(help="finished runs to resample, with spaces between them")
    ] = None,
    resamples: Annotated[
        options.Positive, Parameter(help="resamples of the rows of those runs")
    ] = 1000,
    resplits: Annotated[
        int, Parameter(converter=options.whole_number, help="re-splits to train; 0: none")
    ] = 5,
    data: options.DatasetName = None,
    recipe: options.RecipeName = "quick",
    device: options.DeviceName = "auto",
    workers: options.Workers = None,
    settings: options.Settings = options.Settings(),
    folders: options.Folders = options.Folders(),
) -> None:
    """Count how often scores lie in their expected interval."""
    changed = named_recipe(recipe, options.changes(settings))
    from digit_recognizer.extras.coverage.coverage import count_resamples, count_resplits

    submissions, resampled, resplit = folders.submissions_dir, None, None
    if runs is not None:
        resampled = count_resamples(submissions, folders.data_dir, runs.split(), resamples)
    if resplits > 0:
        folder = folders.data_dir / ready_dataset(data, folders)
        execution = options.Execution(device, workers)
        resplit = count_resplits(folder, submissions, changed, resplits, execution)
    echo(coverage_text(resampled, resplit))
