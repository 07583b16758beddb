"""`make compare`: finished runs of several recipes side by side, on the same rows."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

import numpy as np

from digit_recognizer.learning.cost import Cost, network_cost
from digit_recognizer.learning.mcnemar import mcnemar_p
from digit_recognizer.pages.compare_page import compare_page
from digit_recognizer.pages.compare_table import Compared, compare_csv
from digit_recognizer.storage import datasets
from digit_recognizer.storage.files import read_json, write_text
from digit_recognizer.storage.oof import read_oof
from digit_recognizer.storage.runs import Run, expected_members

# Without RECIPES: what others publish for beginners, and ours, in minutes on two cores.
COMPARED = ("lenet5", "simple-cnn", "two-conv", "mlp", "keras-cnn", "quick", "default")


def compare(
    data_dir: Path, submissions_dir: Path, runs: Sequence[tuple[str, Run]], reference: Run | None
) -> tuple[list[Compared], list[Path]]:
    """Set finished runs side by side, and write ``compare.csv`` and ``compare.html``.

    Parameters
    ----------
    runs : names of recipes and their runs, all of one dataset
    reference : the finished run that McNemar's test is against, if there is one

    Returns
    -------
    the rows, the most accurate first, and the files that were written

    Raises
    ------
    StorageError
        If a run or its data is missing or damaged, or the disk is full.
    """
    dataset = str(runs[0][1].request()["dataset"])
    n_labelled = len(datasets.load(data_dir / dataset)[0].labels)
    rows = [_compared(recipe, run, n_labelled, reference) for recipe, run in runs]
    rows.sort(key=lambda row: -row.cv_accuracy)
    table, page = submissions_dir / "compare.csv", submissions_dir / "compare.html"
    write_text(table, compare_csv(rows))
    write_text(page, compare_page(rows, dataset, reference.name if reference else None))
    return rows, [table, page]


def find_reference(runs: Sequence[Run], name: str) -> Run | None:
    """The first of `runs`, or a finished run `name` beside them, of `default` and the same data.

    Where settings were changed, `name` has a hash; the plain ``<dataset>-default`` will do too.
    """
    known = runs[0]
    plain = f"{known.request()['dataset']}-default"
    for run in (*runs, *(Run(known.run_dir.parent / beside) for beside in (name, plain))):
        if run.is_done() and run.request()["recipe"] == "default" and _same_data(run, known):
            return run
    return None


def _same_data(run: Run, other: Run) -> bool:
    return bool(
        read_json(run.environment_path)["data"] == read_json(other.environment_path)["data"]
    )


def _compared(recipe: str, run: Run, n_labelled: int, reference: Run | None) -> Compared:
    report = read_json(run.cv_path)
    low, high = report["cv_interval"]
    histories = [
        (part.read_member(name).val_index, part.read_history(name))
        for part in run.parts()
        for name in expected_members(part.request())
    ]
    cost = _cost(run)
    common_rows, p_value = _against(run, reference)
    return Compared(
        recipe=recipe,
        run=run.name,
        cv_accuracy=report["cv_accuracy"],
        cv_low=low,
        cv_high=high,
        n_rows=report["n_rows"],
        train_accuracy=fmean(epochs[-1]["train_accuracy"] for _, epochs in histories),
        precision=fmean(row["precision"] for row in report["classes"]),
        recall=fmean(row["recall"] for row in report["classes"]),
        test_accuracy=report.get("test_accuracy"),
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
        n_members=report["n_members"],
        member_seconds=sum(epoch["seconds"] for _, epochs in histories for epoch in epochs),
        wall_seconds=report["seconds"],
        images_per_second=median(
            (n_labelled - len(held_out)) / epoch["seconds"]
            for held_out, epochs in histories
            for epoch in epochs
        ),
        common_rows=common_rows,
        p_value=p_value,
    )


def _cost(run: Run) -> Cost:
    """Of one network; in a blend, of one network of each part together."""
    costs = [network_cost(part.request()["network"]) for part in run.parts()]
    return Cost(sum(cost.parameters for cost in costs), sum(cost.multiply_adds for cost in costs))


def _against(run: Run, reference: Run | None) -> tuple[int | None, float | None]:
    """How many rows a run and the reference both predict, and McNemar's p on them."""
    if reference is None or reference.name == run.name:
        return None, None
    own, other = read_oof(run.oof_path), read_oof(reference.oof_path)
    _, here, there = np.intersect1d(own.rows, other.rows, return_indices=True)
    hits = own.predicted[here] == own.labels[here]
    others = other.predicted[there] == other.labels[there]
    return len(here), mcnemar_p(hits, others)
