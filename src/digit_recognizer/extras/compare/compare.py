"""Finished runs of several recipes side by side, on the same rows."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from digit_recognizer.data.files import write_text
from digit_recognizer.extras.compare.table import ComparedRun, compare_csv, compare_page
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.run import Run
from digit_recognizer.training.models import network_cost


def mcnemar_p(correct: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the two-sided exact p-value that two classifiers err equally often.

    Only rows that one of them has right and the other wrong tell them apart; were they
    equally good, each such row would fall to either by a coin (McNemar 1947, Psychometrika
    12:153). Without such a row, 1.

    Parameters
    ----------
    correct, other : arrays, shape [N], bool; whether each has the same N rows right
    """
    first, second = int((correct & ~other).sum()), int((other & ~correct).sum())
    if first + second == 0:
        return 1.0
    return float(binomtest(first, first + second).pvalue)


# Without RECIPES: what others publish for beginners, and ours, in minutes on two cores.
COMPARED = ("lenet5", "simple-cnn", "two-conv", "mlp", "keras-cnn", "quick", "default")


def compare_runs(
    runs: Mapping[str, RunResults], reference: RunResults | None, submissions_dir: Path
) -> tuple[list[ComparedRun], list[Path]]:
    """Compare finished runs, and write ``compare-<dataset>.csv`` and ``.html``.

    Parameters
    ----------
    runs : names of recipes and their runs, all of one dataset
    reference : the finished run that McNemar's test is against, if there is one

    Returns
    -------
    the rows, the most accurate first, and the files that were written
    """
    rows = [_compared(recipe, results, reference) for recipe, results in runs.items()]
    rows.sort(key=lambda row: -row.cv_accuracy)
    dataset = next(iter(runs.values())).request.dataset
    table, page = (submissions_dir / f"compare-{dataset}.{kind}" for kind in ("csv", "html"))
    write_text(table, compare_csv(rows))
    write_text(page, compare_page(rows, dataset, reference.run.name if reference else None))
    return rows, [table, page]


def find_reference(runs: Mapping[str, RunResults], name: str, data_dir: Path) -> RunResults | None:
    """Return the run of `default` among `runs`, or one beside them of the same data.

    That is the finished run `name`, which has a hash where settings were changed, or else the
    plain ``<dataset>-default``.
    """
    if "default" in runs:
        return runs["default"]
    known = next(iter(runs.values()))
    for beside in (name, f"{known.request.dataset}-default"):
        run = Run(known.run.run_dir.parent / beside)
        if not run.is_done() or run.missing_members() or run.request().recipe_name != "default":
            continue
        if run.environment().data == known.environment.data:
            return RunResults.read(run, data_dir)
    return None


def _compared(recipe: str, results: RunResults, reference: RunResults | None) -> ComparedRun:
    cv, n_labelled = results.cv, len(results.data.labels)
    histories = [history for part in results.parts for history in part.histories.values()]
    epochs = [  # with the number of rows that their member held out
        (len(part.predictions[member].val_index), epoch)
        for part in results.parts
        for member, history in part.histories.items()
        for epoch in history
    ]
    # In a blend, of one network of each part together.
    costs = [network_cost(part.recipe) for part in results.parts]
    common_rows, p_value = _against(results, reference)
    return ComparedRun(
        recipe=recipe,
        run=results.run.name,
        cv_accuracy=cv.cv_accuracy,
        cv_low=cv.cv_interval[0],
        cv_high=cv.cv_interval[1],
        n_rows=cv.n_rows,
        train_accuracy=fmean(history[-1].train_accuracy for history in histories),
        precision=fmean(row.precision for row in cv.classes),
        recall=fmean(row.recall for row in cv.classes),
        test_accuracy=cv.test_accuracy,
        parameters=sum(cost.parameters for cost in costs),
        multiply_adds=sum(cost.multiply_adds for cost in costs),
        n_members=cv.n_members,
        member_seconds=sum(epoch.seconds for _, epoch in epochs),
        wall_seconds=cv.seconds,
        images_per_second=median((n_labelled - n) / epoch.seconds for n, epoch in epochs),
        common_rows=common_rows,
        p_value=p_value,
    )


def _against(results: RunResults, reference: RunResults | None) -> tuple[int | None, float | None]:
    """Return how many rows a run and the reference both predict, and McNemar's p on them."""
    if reference is None or reference.run.name == results.run.name:
        return None, None
    own, other = results.oof, reference.oof
    _, here, there = np.intersect1d(own.rows, other.rows, return_indices=True)
    return len(here), mcnemar_p(own.correct[here], other.correct[there])
