"""`make bench`: training speed beside baselines, in one run."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.dataset import load
from digit_recognizer.data.files import write_json
from digit_recognizer.extras.bench import measure
from digit_recognizer.extras.bench.plain_loop import plain_images_per_second
from digit_recognizer.runs.environment import describe
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.parallel import worker_devices
from digit_recognizer.training.recipe import RECIPES

logger = logging.getLogger(__name__)

RECIPE, BASELINE = RECIPES["default"], RECIPES["deotte"]
BASELINE_NETWORKS = 15  # of Deotte's "25 Million Images", each on its own 90 % of the rows
BASELINE_FRACTION = 0.9


def run_bench(
    folder: Path, submissions_dir: Path, rounds: int, seconds: float, device: str
) -> dict[str, Any]:
    """Measure everything, round by round, and write ``bench.json``; return its content.

    A plain loop runs for `seconds` in each round.
    """
    data = load(folder)
    found = find_devices(device)[:1]  # one GPU beside one GPU
    environment, devices = describe(found, data), worker_devices(found, None)
    measurements = _measurements(data, devices, seconds)
    table = pd.DataFrame(
        _measure_round(measurements, f"round {number} of {rounds}")
        for number in range(1, rounds + 1)
    )
    settings = _settings(data, devices)
    _add_ratios(table, settings)
    logger.info("profile of one member's first epoch")
    profile = measure.run_in_subprocess(partial(measure.time_fractions, RECIPE, data, devices[0]))
    report = {
        "dataset": folder.name,
        "environment": asdict(environment),
        "settings": settings,
        "rounds": table.to_dict("records"),
        "figures": table.agg(["median", "min", "max"]).to_dict(),
        "profile": profile,
    }
    write_json(submissions_dir / "bench.json", report)
    return report


def _measurements(
    data: Dataset, devices: Sequence[Device], seconds: float
) -> dict[str, Callable[[], float]]:
    """Return what is measured in a round, the things compared one after the other."""
    ours = partial(measure.training_rate, RECIPE, devices=devices)
    plain = partial(plain_images_per_second, data=data, device=devices[0].name, seconds=seconds)
    return {
        "images_per_second": partial(ours, data),
        "plain_images_per_second": partial(plain, RECIPE),
        "baseline_images_per_second": partial(plain, BASELINE),
        "matrix_flops_per_second": partial(measure.matrix_peak, devices, seconds / 4),
        "images_per_second_of_half": partial(ours, _first_rows(data, 0.5)),
        "images_per_second_of_quarter": partial(ours, _first_rows(data, 0.25)),
    }


def _first_rows(data: Dataset, fraction: float) -> Dataset:
    n_rows = round(fraction * len(data.labels))
    return replace(data, images=data.images[:n_rows], labels=data.labels[:n_rows])


def _measure_round(measurements: dict[str, Callable[[], float]], prefix: str) -> dict[str, float]:
    figures = {}
    for name, measurement in measurements.items():
        figures[name] = measure.run_in_subprocess(measurement)
        logger.info(f"{prefix}: {figures[name]:,.0f} {name.replace('_', ' ')}")
    return figures


def _settings(data: Dataset, devices: Sequence[Device]) -> dict[str, Any]:
    """Return what the figures are computed from, besides what was measured."""
    images = sum(measure.images_per_epoch(RECIPE, data, fold) for fold in RECIPE.trained_folds)
    baseline_rows = round(BASELINE_FRACTION * len(data.labels))
    return {
        "rows": len(data.labels),
        "processes": len(devices),
        "images": RECIPE.epochs * RECIPE.n_seeds * images,
        "baseline_images": BASELINE.epochs * BASELINE_NETWORKS * baseline_rows,
        # Two for each multiply-add; a backward pass multiplies twice what the forward pass does.
        "flops_per_image": network_cost(RECIPE).multiply_adds * 2 * (1 + 2),
    }


def _add_ratios(table: pd.DataFrame, settings: dict[str, Any]) -> None:
    """Add what follows from the measurements of each round."""
    ours = table["images_per_second"]
    table["speedup"] = ours / table["plain_images_per_second"]
    table["minutes"] = settings["images"] / ours / 60
    theirs = table["baseline_images_per_second"]
    table["baseline_minutes"] = settings["baseline_images"] / theirs / 60
    table["baseline_speedup"] = table["baseline_minutes"] / table["minutes"]
    table["mfu"] = ours * settings["flops_per_image"] / table["matrix_flops_per_second"]
