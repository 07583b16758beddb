"""Finished runs of several recipes side by side, on the same folds: text, CSV and page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from digit_recognizer.commands.console import format_columns
from digit_recognizer.data.files import write_csv, write_text
from digit_recognizer.report.page import render
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.metrics import duration
from digit_recognizer.runs.run import Run
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.recipe import Recipe


def training_cost(recipe: Recipe) -> float:
    """Return the time of a recipe's training, relative to others'.

    `pooled` trains 1,470 images a second and `plain` 2,700 (EXPERIMENTS.md): an image takes as long
    as its multiply-adds and 17 million more.
    """
    members = len(recipe.trained_folds) * recipe.n_seeds
    images = members * recipe.epochs * (1 - 1 / recipe.n_splits)
    return images * (17e6 + network_cost(recipe).multiply_adds)


def time_left(runs: Mapping[str, RunResults], cost: Mapping[str, float]) -> str:
    """Return how long the recipes of `cost` will take that are not in `runs`, the finished ones."""
    done = sum(cost[name] for name in runs if name in cost)
    seconds = sum(results.cv.seconds for name, results in runs.items() if name in cost)
    if not done:
        return "time left: unknown yet"
    return f"about {duration(seconds * (sum(cost.values()) / done - 1))} left in all"


def find_reference(runs: Mapping[str, RunResults], data_dir: Path) -> RunResults | None:
    """Return the finished run ``<dataset>-default`` of the same data, else `default` of `runs`."""
    known = next(iter(runs.values()))
    run = Run(known.run.run_dir.with_name(f"{known.request.dataset}-default"))
    if run.is_finished() and run.environment().data == known.environment.data:
        return RunResults.read(run, data_dir)
    return runs.get("default")


def compare_runs(
    runs: Mapping[str, RunResults], reference: RunResults | None, submissions_dir: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """Compare finished runs by recipe, and write ``compare-<dataset>.csv`` and ``.html``.

    Returns the table, the most accurate recipe first, and the files that were written.
    """
    rows = [_figures(recipe, results, reference) for recipe, results in runs.items()]
    table = pd.DataFrame(rows).sort_values("cv_accuracy", ascending=False, ignore_index=True)
    dataset = next(iter(runs.values())).request.dataset
    csv, page = (submissions_dir / f"compare-{dataset}.{kind}" for kind in ("csv", "html"))
    write_csv(csv, table)
    write_text(page, compare_page(table, dataset, reference))
    return table, [csv, page]


def _figures(recipe: str, results: RunResults, reference: RunResults | None) -> dict[str, Any]:
    cv, (part,) = results.cv, results.parts  # a recipe's run is no blend
    cost = network_cost(part.recipe)
    return {
        "recipe": recipe,
        "run": results.run.name,
        "cv_accuracy": cv.cv_accuracy,
        "cv_low": cv.cv_interval[0],
        "cv_high": cv.cv_interval[1],
        "n_rows": cv.n_rows,
        "test_accuracy": cv.test_accuracy,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "n_members": cv.n_members,
        "member_seconds": sum(e.seconds for history in part.histories.values() for e in history),
        "wall_seconds": cv.seconds,
        "p_value": _p_against(results, reference),
    }


def _p_against(results: RunResults, reference: RunResults | None) -> float | None:
    """Return McNemar's p on the rows that a run and the reference both predict."""
    if reference is None or reference.run == results.run:
        return None
    own, other = results.oof, reference.oof
    shared, here, there = np.intersect1d(own.rows, other.rows, return_indices=True)
    return mcnemar_p(own.correct[here], other.correct[there]) if shared.size else None


def mcnemar_p(correct: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the two-sided exact p-value that two classifiers err equally often.

    `correct` and `other` [N] say whether each has the same N rows right. Only rows that one of them
    has right and the other wrong tell them apart; were they equally good, each such row would fall
    to either by a coin (McNemar 1947, Psychometrika 12:153). Without such a row, 1.
    """
    first, second = int((correct & ~other).sum()), int((other & ~correct).sum())
    return float(binomtest(first, max(1, first + second)).pvalue)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's figures as texts; ``-`` where there is none."""

    def text(column: str, form: str) -> "pd.Series[str]":
        return table[column].map(form.format, na_action="ignore").fillna("-")

    texts = {
        "recipe": table.recipe,
        "CV accuracy": text("cv_accuracy", "{:.5f}"),
        "95 % interval": text("cv_low", "{:.5f} to ") + text("cv_high", "{:.5f}"),
        "rows": text("n_rows", "{:,}"),
        "test": text("test_accuracy", "{:.5f}"),
        "seconds": text("member_seconds", "{:,.0f}"),
        "wall s": text("wall_seconds", "{:,.0f}"),
        "parameters": text("parameters", "{:,}"),
        "mult-adds": text("multiply_adds", "{:,}"),
        "McNemar p": text("p_value", "{:.2g}"),
    }
    return pd.DataFrame(texts)


def notes(table: pd.DataFrame, reference: RunResults | None) -> list[str]:
    """Return what the columns mean."""
    against = "none, as there is no run of default to test against"
    if reference:
        against = f"the exact test against the run {reference.run.name}, on rows that both predict"
    lines = [
        "CV accuracy: on rows that the networks never saw; test: only where the dataset has a solution",
        "seconds: training, summed over members, each on one core or GPU; wall s: by the clock",
        "parameters, mult-adds: of one network and one image",
        f"McNemar p: {against}; the probability of such a difference by chance, if both were alike",
    ]
    if table.n_rows.nunique() > 1:
        others = "accuracies and seconds are of other rows and fewer members; only McNemar p is not"
        lines.append(f"rows: where they differ, {others}")
    return lines


def compare_text(table: pd.DataFrame, reference: RunResults | None) -> str:
    """Return the table with its notes as lines."""
    texts = cells(table)
    lines = format_columns([texts.columns.tolist(), *texts.to_numpy().tolist()])
    return "\n".join([lines, "", *notes(table, reference)])


def compare_page(table: pd.DataFrame, dataset: str, reference: RunResults | None) -> str:
    """Return the page: a plot of error against time, and every figure in a table."""
    errors = (1 - table[["cv_high", "cv_accuracy", "cv_low"]]).to_numpy().tolist()
    points = zip(table.member_seconds, errors, cells(table).to_dict("records"), strict=True)
    return render(
        Path(__file__).with_name("compare.html.j2"),
        data=[{"seconds": s, "errors": interval, "cells": row} for s, interval, row in points],
        dataset=dataset,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        notes=notes(table, reference),
    )
