"""The command `coverage` and its text."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.commands.options import (
    DatasetName,
    DeviceName,
    Execution,
    Folders,
    Positive,
    RecipeName,
    Settings,
    Workers,
    changes,
    whole_number,
)
from digit_recognizer.training.recipe import named_recipe


def coverage_text(resamples: Mapping[str, Any] | None, resplits: Mapping[str, Any] | None) -> str:
    """Format the content of ``coverage.json``, either half of which may be missing."""
    lines = ["how often the score lies inside its expected interval (95 of 100 is the aim)"]
    if resamples:
        runs = " ".join(resamples["runs"])
        lines += ["", f"resamples of {resamples['n_rows']:,} out-of-fold rows of {runs}"]
        for counts in resamples["counts"]:
            networks = "network " if counts["n_seeds"] == 1 else "networks"
            lines.append(
                f"  {counts['n_seeds']} {networks} for an out-of-fold row: {_counts(counts)}"
            )
        lines.append("  They share one set of rows and networks: they are not independent.")
    if resplits:
        lines += ["", f"re-splits of {resplits['dataset']}, trained anew"]
        trial_line = "  score {score:.5f}, expected {low:.5f} to {high:.5f}"
        lines += [trial_line.format(**trial) for trial in resplits["trials"]]
        lines.append(f"  {_counts(resplits['counts'])}")
    return "\n".join(lines)


def _counts(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['inside']} of {counts['n']} inside, {counts['below']} below,"
        f" {counts['above']} above; mean width {counts['mean_width']:.5f}"
    )


def coverage(
    *,
    runs: Annotated[
        str | None, Parameter(help="finished runs to resample, with spaces between them")
    ] = None,
    resamples: Annotated[Positive, Parameter(help="resamples of the rows of those runs")] = 1000,
    resplits: Annotated[
        int, Parameter(converter=whole_number, help="re-splits to train; 0: none")
    ] = 5,
    data: DatasetName = None,
    recipe: RecipeName = "quick",
    device: DeviceName = "auto",
    workers: Workers = None,
    settings: Settings = Settings(),
    folders: Folders = Folders(),
) -> None:
    """Count how often scores lie in their expected interval."""
    changed = named_recipe(recipe, changes(settings))
    from digit_recognizer.extras.coverage.coverage import count_resamples, count_resplits

    submissions, resampled, resplit = folders.submissions_dir, None, None
    if runs is not None:
        resampled = count_resamples(submissions, folders.data_dir, runs.split(), resamples)
    if resplits > 0:
        folder = folders.data_dir / ready_dataset(data, folders)
        execution = Execution(device, workers)
        resplit = count_resplits(folder, submissions, changed, resplits, execution)
    echo(coverage_text(resampled, resplit))
