"""`make compare`: finished runs side by side, with figures that are theirs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runner import call, make_small
from support.written_runs import SMALL_NETWORK, write_run

from digit_recognizer.data.files import write_json
from digit_recognizer.extras import compare
from digit_recognizer.extras.compare.comparison import (
    compare_runs,
    find_reference,
    mcnemar_p,
    time_left,
    training_cost,
)
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.run import Run
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.recipe import RECIPES, Recipe


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of three recipes: right often, more often, and for one fold only."""
    shelf = tmp_path_factory.mktemp("shelf")
    make_small(shelf / "data")
    write_run(shelf, "small-default", skill=3.5)
    write_run(shelf, "small-quick", "quick", skill=3, draw=1, n_splits=3, folds="all")
    write_run(shelf, "small-mlp", "mlp", skill=2, draw=2, folds="0")
    return shelf


def run(shelf: Path, name: str) -> Run:
    return Run(shelf / "submissions" / name)


def read(shelf: Path, name: str) -> RunResults:
    return RunResults.read(run(shelf, name), shelf / "data")


@pytest.fixture(scope="module")
def rows(shelf: Path) -> pd.DataFrame:
    """The CSV of a comparison, by recipe."""
    runs = {recipe: read(shelf, f"small-{recipe}") for recipe in ("mlp", "quick", "default")}
    compare_runs(runs, runs["default"], shelf / "submissions")
    return pd.read_csv(shelf / "submissions" / "compare-small.csv").set_index("recipe")


def test_every_figure_is_that_of_the_run(shelf: Path, rows: pd.DataFrame) -> None:
    quick = run(shelf, "small-quick")
    report = quick.cv()
    histories = [quick.read_history(member) for member in quick.finished_members()]
    row = rows.loc["quick"]
    assert row.run == "small-quick"
    assert row.cv_accuracy == report.cv_accuracy
    assert (row.cv_low, row.cv_high) == report.cv_interval
    assert row.n_rows == 240
    assert row.test_accuracy == report.test_accuracy
    seconds = sum(epoch.seconds for history in histories for epoch in history)
    assert row.member_seconds == pytest.approx(seconds)
    assert row.wall_seconds == 10
    cost = network_cost(Recipe(network=SMALL_NETWORK))
    assert (row.parameters, row.multiply_adds) == (cost.parameters, cost.multiply_adds)
    assert list(rows.cv_accuracy) == sorted(rows.cv_accuracy, reverse=True)


def test_runs_are_compared_in_the_submissions_folder_only(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shelf / "data" / "small", shelf / "elsewhere")
    assert call(shelf, "compare", "--data", "../elsewhere", "--recipes", "mlp") == 1
    assert "RUN is '../elsewhere-mlp': give a plain name" in capsys.readouterr().err
    assert not list(shelf.glob("*-mlp"))


def test_mcnemars_test_takes_the_rows_that_both_runs_predict(
    shelf: Path, rows: pd.DataFrame
) -> None:
    default = pd.read_csv(run(shelf, "small-default").oof_path).set_index("row")
    for recipe in ("quick", "mlp"):
        own = pd.read_csv(run(shelf, f"small-{recipe}").oof_path).set_index("row")
        other = default.loc[own.index]
        correct, other = (one.predicted == one.label for one in (own, other))
        assert rows.p_value[recipe] == mcnemar_p(correct.to_numpy(), other.to_numpy())
    assert rows.p_value["mlp"] < 1e-3  # far worse, and known to be
    assert np.isnan(rows.p_value["default"])


def test_without_rows_that_both_runs_predict_there_is_no_test(shelf: Path, tmp_path: Path) -> None:
    write_run(shelf, "small-lenet5", "lenet5", skill=2, folds="1")
    runs = {"lenet5": read(shelf, "small-lenet5")}
    table, _ = compare_runs(runs, read(shelf, "small-mlp"), tmp_path)
    assert table.p_value.isna().all()


def test_the_reference_is_the_finished_default_of_the_same_data_or_the_one_compared(
    shelf: Path, tmp_path: Path
) -> None:
    def found(*recipes: str) -> Run | None:
        quick = RunResults.read(run(tmp_path, "small-quick"), shelf / "data")
        reference = find_reference(dict.fromkeys(recipes, quick), shelf / "data")
        return reference.run if reference else None

    shutil.copytree(shelf / "submissions", tmp_path / "submissions")
    default = run(tmp_path, "small-default")
    assert found("default") == default
    write_json(default.environment_path, replace(default.environment(), data={}))
    assert found("default") == run(tmp_path, "small-quick")
    shutil.rmtree(default.run_dir)
    assert found("quick") is None


def test_the_command_takes_finished_runs_as_they_are_and_prints_the_table(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [write_run(shelf, recipe=recipe).name for recipe in ("default", "mlp")]
    words = ["--data", "small", "--recipes", "mlp default mlp", "--device", "cpu"]
    words += ["--n-splits", "2", "--network", SMALL_NETWORK]
    assert call(shelf, "compare", *words) == 0
    out, err = capsys.readouterr()
    assert "training" not in err
    assert "default (2 of 2; finished before)" in out
    table = pd.read_csv(shelf / "submissions" / "compare-small.csv")
    assert sorted(table.run) == sorted(names)
    lines = [line.split()[:2] for line in out.splitlines()]
    for row in table.itertuples():
        assert [row.recipe, f"{row.cv_accuracy:.5f}"] in lines
    assert "McNemar p: the exact test against the run small-default" in out
    assert "default" in (shelf / "submissions" / "compare-small.html").read_text()


def test_the_time_left_is_that_of_the_finished_recipes_for_the_cost_of_the_others(
    shelf: Path,
) -> None:
    longer = replace(RECIPES["default"], n_seeds=4, epochs=12)
    assert training_cost(longer) == pytest.approx(training_cost(RECIPES["default"]) * 4 * 12 / 7)
    assert training_cost(RECIPES["mlp"]) < training_cost(replace(RECIPES["deotte"], epochs=12))
    work = {"quick": 10.0, "default": 20.0, "mlp": 30.0}
    assert time_left({}, work) == "time left: unknown yet"
    results = read(shelf, "small-quick")
    finished = {"quick": replace(results, cv=replace(results.cv, seconds=60.0))}
    assert time_left(finished, work) == "about 5 min 00 s left in all"
    finished["deotte"] = results  # finished before, so it is no part of the work
    assert time_left(finished, work) == "about 5 min 00 s left in all"


def test_no_recipes_are_those_that_are_compared_by_default(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "COMPARED", "best")
    assert call(shelf, "compare", "--recipes", " ") == 2
    assert "no recipe is called 'best'" in capsys.readouterr().err


def test_an_unknown_recipe_is_reported_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "compare", "--recipes", "quick best") == 2
    assert capsys.readouterr().err.startswith("error: no recipe is called 'best': give ")
    assert list(tmp_path.iterdir()) == []


def test_mcnemars_p_is_the_tail_of_the_coin_counted_by_hand() -> None:
    first = np.array([True] * 10 + [False] * 2 + [True] * 80)
    second = np.array([False] * 10 + [True] * 2 + [True] * 80)
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 12 + 66) / 2**12)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemars_test_takes_no_side_and_only_rows_that_one_has_right(
    rows: list[tuple[bool, bool]],
) -> None:
    first, second = np.array(rows).T
    differ = first != second
    p = mcnemar_p(first, second)
    assert 0 < p <= 1
    assert p == mcnemar_p(second, first) == mcnemar_p(first[differ], second[differ])
    assert mcnemar_p(first, first) == 1
