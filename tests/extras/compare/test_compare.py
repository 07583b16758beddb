"""`make compare`: finished runs side by side, with figures that are theirs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runner import make_small
from support.written_runs import SMALL_NETWORK, write_run

from digit_recognizer.cli import main
from digit_recognizer.extras.compare.compare import compare_runs, find_reference, mcnemar_p
from digit_recognizer.runs.ensemble import RunResults, blend
from digit_recognizer.runs.run import Run
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.recipe import Recipe


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of three recipes: right often, more often, and for one fold only."""
    shelf = tmp_path_factory.mktemp("shelf")
    make_small(shelf / "data")
    write_run(shelf, "small-default", skill=3.5)
    write_run(shelf, "small-quick", "quick", skill=3, draw=1, n_splits=3, folds="all")
    write_run(shelf, "small-mlp-0", "mlp", skill=2, draw=2, folds="0")
    return shelf


def run(shelf: Path, name: str) -> Run:
    return Run(shelf / "submissions" / name)


def read(shelf: Path, name: str) -> RunResults:
    return RunResults.read(run(shelf, name), shelf / "data")


def table(shelf: Path) -> pd.DataFrame:
    return pd.read_csv(shelf / "submissions" / "compare-small.csv").set_index("recipe")


def compared(shelf: Path) -> pd.DataFrame:
    names = {"default": "small-default", "quick": "small-quick", "mlp": "small-mlp-0"}
    runs = {recipe: read(shelf, name) for recipe, name in names.items()}
    compare_runs(runs, read(shelf, "small-default"), shelf / "submissions")
    return table(shelf)


def test_every_figure_is_that_of_the_run(shelf: Path) -> None:
    rows = compared(shelf)
    quick = run(shelf, "small-quick")
    report = json.loads(quick.cv_path.read_text())
    histories = [pd.DataFrame(quick.read_history(member)) for member in quick.finished_members()]
    seconds = pd.concat(histories).seconds
    row = rows.loc["quick"]
    assert row.run == "small-quick"
    assert row.cv_accuracy == report["cv_accuracy"]
    assert [row.cv_low, row.cv_high] == report["cv_interval"]
    assert row.n_rows == 240
    assert row.test_accuracy == report["test_accuracy"]
    assert row.precision == pytest.approx(np.mean([c["precision"] for c in report["classes"]]))
    assert row.recall == pytest.approx(np.mean([c["recall"] for c in report["classes"]]))
    assert row.train_accuracy == pytest.approx(
        np.mean([history.train_accuracy.iloc[-1] for history in histories])
    )
    assert row.member_seconds == pytest.approx(seconds.sum())
    assert row.wall_seconds == 10
    assert row.images_per_second == pytest.approx(np.median(160 / seconds))  # 240 less a fold's 80
    cost = network_cost(Recipe(network=SMALL_NETWORK))
    assert (row.parameters, row.multiply_adds) == (cost.parameters, cost.multiply_adds)
    assert rows.loc["mlp"].claimed == 0.97
    assert rows.loc["mlp"].claimed_of == "MNIST test"
    assert list(rows.cv_accuracy) == sorted(rows.cv_accuracy, reverse=True)


def test_mcnemars_test_takes_the_rows_that_both_runs_predict(shelf: Path) -> None:
    rows = compared(shelf)
    default = pd.read_csv(run(shelf, "small-default").oof_path).set_index("row")
    for recipe, name, n_rows in [("quick", "small-quick", 240), ("mlp", "small-mlp-0", 120)]:
        own = pd.read_csv(run(shelf, name).oof_path).set_index("row")
        other = default.loc[own.index]
        correct, other = (one.predicted == one.label for one in (own, other))
        assert rows.loc[recipe].common_rows == n_rows
        assert rows.loc[recipe].p_value == mcnemar_p(correct.to_numpy(), other.to_numpy())
    assert rows.loc["mlp"].p_value < 1e-3  # far worse, and known to be
    assert np.isnan(rows.loc["default"].p_value)


def test_a_blend_is_compared_as_any_recipe(shelf: Path) -> None:
    names = ("small-default", "small-quick")
    both = blend(shelf / "data", shelf / "submissions", names, "small-record")
    compare_runs({"record": both}, None, shelf / "submissions")
    row = table(shelf).loc["record"]
    assert row.n_members == 5
    assert row.parameters == 2 * network_cost(Recipe(network=SMALL_NETWORK)).parameters
    assert np.isnan(row.p_value)
    assert row.wall_seconds == 20


def test_the_reference_is_a_finished_run_of_default_on_the_same_data(
    shelf: Path, tmp_path: Path
) -> None:
    def found(recipe: str, of: Run, name: str) -> Run | None:
        known = {recipe: RunResults.read(of, shelf / "data")}
        reference = find_reference(known, name, shelf / "data")
        return reference.run if reference else None

    quick, default = run(shelf, "small-quick"), run(shelf, "small-default")
    assert found("default", default, "none") == default
    assert found("quick", quick, "small-default-0abcde") == default
    (tmp_path / "submissions").mkdir()
    lonely = run(tmp_path, "small-quick")
    lonely.run_dir.symlink_to(quick.run_dir)
    assert found("quick", lonely, "small-default-0abcde") is None
    other = run(tmp_path, "small-default")
    other.run_dir.mkdir()
    for path in default.run_dir.iterdir():
        (other.run_dir / path.name).symlink_to(path)
    assert found("quick", lonely, "none") == other
    environment = json.loads(default.environment_path.read_text())
    other.environment_path.unlink()
    other.environment_path.write_text(json.dumps({**environment, "data": {}}))
    assert found("quick", lonely, "none") is None


def test_the_command_takes_finished_runs_as_they_are_and_prints_the_table(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"n_splits": 2, "network": SMALL_NETWORK}
    names = [write_run(shelf, recipe=recipe, **settings).name for recipe in ("default", "mlp")]
    folders = ["--data-dir", str(shelf / "data"), "--submissions-dir", str(shelf / "submissions")]
    words = ["--data", "small", "--recipes", "mlp default mlp", "--device", "cpu"]
    words += ["--n-splits", "2", "--network", SMALL_NETWORK]
    assert main(["compare", *folders, *words]) == 0
    out, err = capsys.readouterr()
    assert "training" not in err
    rows = table(shelf)
    assert sorted(rows.run) == sorted(names)
    for recipe, row in rows.iterrows():
        lines = [line.split() for line in out.splitlines()]
        assert [recipe, f"{row.cv_accuracy:.5f}"] in [line[:1] + line[2:3] for line in lines]
    assert f"McNemar p: the exact test against the run {names[0]}" in out
    page = (shelf / "submissions" / "compare-small.html").read_text()
    assert "mlp: out-of-fold accuracy" in page


def test_an_unknown_recipe_is_reported_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data-dir", str(tmp_path), "--submissions-dir", str(tmp_path / "submissions")]
    assert main(["compare", *folders, "--recipes", "quick best"]) == 2
    assert capsys.readouterr().err.startswith("error: no recipe is called 'best': give one of ")
    assert list(tmp_path.iterdir()) == []


pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_mcnemars_p_is_the_tail_of_the_coin_counted_by_hand() -> None:
    first = np.array([True] * 10 + [False] * 2 + [True] * 80)
    second = np.array([False] * 10 + [True] * 2 + [True] * 80)
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 12 + 66) / 2**12)


@given(pairs)
def test_rows_that_both_have_right_or_wrong_say_nothing(rows: list[tuple[bool, bool]]) -> None:
    first, second = np.array(rows).T
    differ = first != second
    assert mcnemar_p(first, second) == mcnemar_p(first[differ], second[differ])


@given(pairs)
def test_mcnemars_test_takes_no_side_and_is_a_probability(rows: list[tuple[bool, bool]]) -> None:
    first, second = np.array(rows).T
    assert mcnemar_p(first, second) == mcnemar_p(second, first)
    assert 0 < mcnemar_p(first, second) <= 1
    assert mcnemar_p(first, first) == 1
