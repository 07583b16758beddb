"""The figures of `make bench` fit together."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.written_runs import ENVIRONMENT

from digit_recognizer.data.dataset import replacing
from digit_recognizer.data.files import read_json, write_json, write_text
from digit_recognizer.data.sources import make_sample
from digit_recognizer.extras.bench.bench import finished_seconds, linear_fit, run_bench, summary
from digit_recognizer.extras.bench.command import bench_text, short_duration
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.run import Run
from digit_recognizer.training.recipe import RECIPES, Recipe

HERE = replace(ENVIRONMENT, hardware="A chip")


@given(st.floats(0, 100), st.floats(1, 1e5))
def test_a_straight_line_is_found_and_nothing_is_away_from_it(fixed: float, rate: float) -> None:
    images = [1000, 2000, 4000, 8000]
    line = linear_fit(images, [fixed + count / rate for count in images])
    assert line["fixed_seconds"] == pytest.approx(fixed, rel=1e-4, abs=1e-4)
    assert line["images_per_second"] == pytest.approx(rate, rel=1e-2)
    assert line["largest_deviation"] < 1e-3


def test_a_cost_that_grows_faster_than_the_rows_is_away_from_the_line() -> None:
    images = [1000, 2000, 4000, 8000]
    line = linear_fit(images, [(count / 1000) ** 2 for count in images])
    assert line["largest_deviation"] > 0.5


@given(st.lists(st.floats(1e-3, 1e9), min_size=1))
def test_the_median_lies_between_lowest_and_highest(values: list[float]) -> None:
    shown = summary(values)
    assert shown["low"] <= shown["median"] <= shown["high"]
    assert shown["values"] == values


def finished_run(folder: Path, recipe: Recipe, environment: Environment) -> Run:
    run = Run(folder / "sample-default")
    request = {"dataset": "sample", "recipe": "default", **asdict(recipe)}
    write_json(run.recipe_path, request)
    environment.write(run.environment_path)
    for path in (run.cv_path, run.oof_path, run.submission_path):
        write_text(path, "{}\n")
    run.add_seconds(77.0)
    return run


def test_our_time_is_that_of_the_finished_run(tmp_path: Path) -> None:
    assert finished_seconds(Run(tmp_path / "sample-default"), HERE) is None
    assert finished_seconds(finished_run(tmp_path, RECIPES["default"], HERE), HERE) == 77.0


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        (RECIPES["default"], {"hardware": "Another"}),
        (RECIPES["default"], {"cores": 8}),
        (RECIPES["default"], {"device": "cuda:0"}),
        (Recipe(epochs=1), {}),
    ],
)
def test_the_time_of_another_machine_or_of_an_older_default_is_not_ours(
    tmp_path: Path, recipe: Recipe, change: dict[str, Any]
) -> None:
    assert finished_seconds(finished_run(tmp_path, recipe, replace(HERE, **change)), HERE) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(6.04, "6.0 s"), (648, "10.8 min"), (86400, "24.0 h")]
)
def test_durations_are_in_the_unit_that_is_read_easily(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_ratio_is_that_of_the_figures_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="digit_recognizer")
    with replacing(tmp_path / "data" / "sample", "sample", may_submit=False) as aside:
        make_sample(aside)
    report = run_bench(tmp_path / "data" / "sample", tmp_path, 1, 2, "cpu")
    assert read_json(tmp_path / "bench.json") == report
    figures, settings = report["figures"], report["settings"]
    median = {name: figure["median"] for name, figure in figures.items()}
    ratio = median["images_per_second"] / median["plain_images_per_second"]
    assert figures["speedup"]["values"] == [ratio]
    images = 15 * 45 * round(0.9 * settings["rows"])
    baseline_seconds = images / median["baseline_images_per_second"]
    assert median["baseline_seconds"] == pytest.approx(baseline_seconds)
    assert settings["finished_seconds"] is None
    assert median["baseline_speedup"] == pytest.approx(baseline_seconds / median["seconds"])
    assert median["mfu"] > 0
    assert sum(report["profile"].values()) == pytest.approx(1)
    assert report["profile"]["convolution backward"] > 0.05
    cases = {(case["fraction"], case["members"]): case for case in report["growth"]["cases"]}
    assert set(cases) == {(0.1, 2), (0.2, 1), (0.2, 2), (0.2, 4), (0.4, 2), (0.8, 2)}
    assert cases[0.8, 2]["images"] > 3 * cases[0.2, 2]["images"]
    assert all(case["memory"]["median"] > 2**27 for case in cases.values())
    messages = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("round 1 of 1: ") for line in messages) == 4 + len(cases)
    text = bench_text(report)
    assert "extrapolated from the rate above" in text
    assert f"{median['speedup']:.1f}x" in text
    assert f"{median['baseline_speedup']:.0f}x" in text
    assert f"{median['mfu']:.0%}" in text
    assert all(f"{case['rows']:,}" in text for case in cases.values())
    unknown = {**report["growth"], "cases": [{**cases[0.2, 1], "memory": None}]}
    assert "unknown" in bench_text({**report, "growth": unknown})
