"""`make bench`: its figures belong together."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning.recipe import RECIPES, Recipe, recipe_as_dict
from digit_recognizer.pages.bench_text import bench_text, short_duration
from digit_recognizer.stages.bench import Effort, bench, own_seconds, spread, straight_line
from digit_recognizer.storage.datasets import replacing
from digit_recognizer.storage.files import read_json, write_json, write_text
from digit_recognizer.storage.runs import Run
from digit_recognizer.storage.sources import make_sample

HERE = {"device": "cpu", "hardware": "A chip", "cores": 2, "precision": "bf16"}


@given(st.floats(0, 100), st.floats(1, 1e5))
def test_a_straight_line_is_found_and_nothing_is_away_from_it(fixed: float, rate: float) -> None:
    images = [1000, 2000, 4000, 8000]
    line = straight_line(images, [fixed + count / rate for count in images])
    assert line["fixed_seconds"] == pytest.approx(fixed, rel=1e-4, abs=1e-4)
    assert line["images_per_second"] == pytest.approx(rate, rel=1e-2)
    assert line["largest_deviation"] < 1e-3


def test_a_cost_that_grows_faster_than_the_rows_is_away_from_the_line() -> None:
    images = [1000, 2000, 4000, 8000]
    line = straight_line(images, [(count / 1000) ** 2 for count in images])
    assert line["largest_deviation"] > 0.5


@given(st.lists(st.floats(1e-3, 1e9), min_size=1))
def test_the_median_lies_between_lowest_and_highest(values: list[float]) -> None:
    shown = spread(values)
    assert shown["low"] <= shown["median"] <= shown["high"]
    assert shown["values"] == values


def finished(submissions_dir: Path, recipe: Recipe, environment: dict[str, Any]) -> None:
    run = Run(submissions_dir / "sample-default")
    request = {"dataset": "sample", "recipe": "default", **recipe_as_dict(recipe)}
    write_json(run.recipe_path, request)
    write_json(run.environment_path, environment)
    for path in (run.cv_path, run.oof_path, run.submission_path):
        write_text(path, "{}\n")
    run.add_seconds(77.0)


def test_our_time_is_that_of_the_finished_run(tmp_path: Path) -> None:
    default = RECIPES["default"]
    assert own_seconds(tmp_path, "sample", default, HERE) is None
    finished(tmp_path, default, HERE)
    assert own_seconds(tmp_path, "sample", default, HERE) == 77.0


@pytest.mark.parametrize("change", [{"hardware": "Another"}, {"cores": 8}, {"device": "cuda:0"}])
def test_the_time_of_another_machine_is_not_ours(tmp_path: Path, change: dict[str, Any]) -> None:
    finished(tmp_path, RECIPES["default"], {**HERE, **change})
    assert own_seconds(tmp_path, "sample", RECIPES["default"], HERE) is None


def test_the_time_of_an_older_default_is_not_ours(tmp_path: Path) -> None:
    finished(tmp_path, Recipe(epochs=1), HERE)
    assert own_seconds(tmp_path, "sample", RECIPES["default"], HERE) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(6.04, "6.0 s"), (648, "10.8 min"), (86400, "24.0 h")]
)
def test_durations_are_in_the_unit_that_is_read_easily(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_ratio_is_that_of_the_figures_beside_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "data" / "sample", "sample", may_submit=False) as aside:
        make_sample(aside)
    heard: list[str] = []
    report = bench(
        tmp_path / "data", tmp_path, "sample", "cpu", RECIPES["deotte"], Effort(1, 2), heard.append
    )
    assert read_json(tmp_path / "bench.json") == report
    training, rival, peak = report["training"], report["rival"], report["peak"]
    ours, plain = training["ours"]["median"], training["plain"]["median"]
    assert training["ratio"]["values"] == [ours / plain]
    images = 15 * 45 * round(0.9 * report["n_rows"])
    theirs = images / rival["images_per_second"]["median"]
    assert rival["extrapolated_seconds"]["median"] == pytest.approx(theirs)
    assert rival["ours_is_extrapolated"]
    assert rival["ratio"]["median"] == pytest.approx(theirs / rival["our_seconds"]["median"])
    assert peak["share"]["median"] > 0
    assert sum(report["profile"].values()) == pytest.approx(1)
    assert report["profile"]["convolution backward"] > 0.05
    cases = {(case["share"], case["members"]): case for case in report["growth"]["cases"]}
    assert set(cases) == {(0.1, 2), (0.2, 1), (0.2, 2), (0.2, 4), (0.4, 2), (0.8, 2)}
    assert cases[0.8, 2]["images"] > 3 * cases[0.2, 2]["images"]
    assert all(case["memory"]["median"] > 2**27 for case in cases.values())
    text = bench_text(report)
    assert "extrapolated from the rate above" in text
    assert f"{training['ratio']['median']:.1f}x" in text
    assert f"{rival['ratio']['median']:.0f}x" in text
    assert all(f"{case['rows']:,}" in text for case in cases.values())
