"""`make compare`: finished runs side by side, with figures that are theirs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pipeline.runner import make_small
from pipeline.written_runs import SMALL_NETWORK, write_run

from digit_recognizer.cli import main
from digit_recognizer.learning.cost import network_cost
from digit_recognizer.learning.mcnemar import mcnemar_p
from digit_recognizer.stages.blend import blend
from digit_recognizer.stages.compare import compare, find_reference
from digit_recognizer.stages.ensemble import finish
from digit_recognizer.storage.runs import Run


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


def table(shelf: Path) -> pd.DataFrame:
    return pd.read_csv(shelf / "submissions" / "compare.csv").set_index("recipe")


def compared(shelf: Path) -> pd.DataFrame:
    names = {"default": "small-default", "quick": "small-quick", "mlp": "small-mlp-0"}
    runs = [(recipe, run(shelf, name)) for recipe, name in names.items()]
    compare(shelf / "data", shelf / "submissions", runs, run(shelf, "small-default"))
    return table(shelf)


def test_every_figure_is_that_of_the_run(shelf: Path) -> None:
    rows = compared(shelf)
    quick = run(shelf, "small-quick")
    report = json.loads(quick.cv_path.read_text())
    histories = [pd.DataFrame(quick.read_history(name)) for name in quick.member_names()]
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
    cost = network_cost(SMALL_NETWORK)
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
        hits, others = (own.predicted == own.label), (other.predicted == other.label)
        assert rows.loc[recipe].common_rows == n_rows
        assert rows.loc[recipe].p_value == mcnemar_p(hits.to_numpy(), others.to_numpy())
    assert rows.loc["mlp"].p_value < 1e-3  # far worse, and known to be
    assert np.isnan(rows.loc["default"].p_value)


def test_a_blend_is_compared_as_any_recipe(shelf: Path) -> None:
    names = ["small-default", "small-quick"]
    both = blend(shelf / "data", shelf / "submissions", names, "small-record", "record")
    finish(both, shelf / "data")
    compare(shelf / "data", shelf / "submissions", [("record", both)], None)
    row = table(shelf).loc["record"]
    assert row.n_members == 5
    assert row.parameters == 2 * network_cost(SMALL_NETWORK).parameters
    assert np.isnan(row.p_value)
    assert row.wall_seconds == 20


def test_the_reference_is_a_finished_run_of_default_on_the_same_data(
    shelf: Path, tmp_path: Path
) -> None:
    quick, default = run(shelf, "small-quick"), run(shelf, "small-default")
    assert find_reference([default], "none") == default
    assert find_reference([quick], "small-default-0abcde") == default
    (tmp_path / "submissions").mkdir()
    lonely = tmp_path / "submissions" / "small-quick"
    lonely.symlink_to(quick.run_dir)
    assert find_reference([Run(lonely)], "small-default-0abcde") is None
    other = tmp_path / "submissions" / "small-default"
    other.mkdir()
    for path in default.run_dir.iterdir():
        (other / path.name).symlink_to(path)
    assert find_reference([Run(lonely)], "none") == Run(other)
    environment = json.loads(default.environment_path.read_text())
    (other / "environment.json").unlink()
    (other / "environment.json").write_text(json.dumps({**environment, "data": {}}))
    assert find_reference([Run(lonely)], "none") is None


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
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [recipe]]
        assert f"{row.cv_accuracy:.5f}" in line
    assert f"McNemar p: his exact test against the run {names[0]}" in out
    page = (shelf / "submissions" / "compare.html").read_text()
    assert "mlp: out-of-fold accuracy" in page


def test_a_recipe_that_is_not_known_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data-dir", str(tmp_path), "--submissions-dir", str(tmp_path / "submissions")]
    assert main(["compare", *folders, "--recipes", "quick best"]) == 2
    assert capsys.readouterr().err.startswith("error: no recipe is called 'best': give one of ")
    assert list(tmp_path.iterdir()) == []
