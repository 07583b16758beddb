"""`make bench`: training speed beside baselines, in one run."""

import logging
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.dataset import load
from digit_recognizer.data.files import write_json
from digit_recognizer.extras.bench import measure
from digit_recognizer.extras.bench.plain_loop import plain_images_per_second
from digit_recognizer.runs.environment import Environment, describe
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.parallel import worker_devices
from digit_recognizer.training.recipe import RECIPES

logger = logging.getLogger(__name__)

RECIPE, BASELINE = RECIPES["default"], RECIPES["deotte"]
BASELINE_NETWORKS = 15  # of Deotte's "25 Million Images", each on its own 90 % of the rows
BASELINE_FRACTION = 0.9
GROWTH_EPOCHS = 2
# Fraction of the rows, and members; the line over rows is that of the cases of two members.
GROWTH_CASES = ((0.1, 2), (0.2, 1), (0.2, 2), (0.2, 4), (0.4, 2), (0.8, 2))
LINE_MEMBERS = 2
Costs = Mapping[tuple[float, int], Sequence[tuple[float, int | None]]]


def run_bench(
    folder: Path, submissions_dir: Path, rounds: int, seconds: float, device: str
) -> dict[str, Any]:
    """Measure everything, round by round, and write ``bench.json``; return its content.

    Parameters
    ----------
    folder : of the dataset
    submissions_dir : of a finished run of the default recipe, if any, and of ``bench.json``
    seconds : that a plain loop runs in each round
    """
    data = load(folder)
    found = find_devices(device)
    environment = describe(found[:1], data)
    devices = worker_devices(found[:1], None)  # one GPU beside one GPU
    data = measure.first_rows(data, len(data.labels))
    speeds, costs = _measure_rounds(data, devices, rounds, seconds)
    logger.info("profile of one member's first epoch")
    profile = measure.run_in_subprocess(measure.time_fractions, RECIPE, data, devices[0])
    finished = finished_seconds(Run(submissions_dir / f"{folder.name}-default"), environment)
    settings = _settings(data, devices, finished)
    report = {
        "dataset": folder.name,
        "rounds": rounds,
        "environment": asdict(environment),
        "settings": settings,
        "figures": {name: summary(row) for name, row in _figures(speeds, settings).items()},
        "profile": profile,
        "growth": _growth(costs, data),
    }
    write_json(submissions_dir / "bench.json", report)
    return report


def _measure_rounds(
    data: Dataset, devices: Sequence[Device], rounds: int, seconds: float
) -> tuple[dict[str, list[float]], Costs]:
    """Measure everything once per round, the things compared one after the other."""
    plain = (data, devices[0].name, seconds)
    table: dict[str, partial[float]] = {
        "images_per_second": partial(measure.training_rate, RECIPE, data, devices),
        "plain_images_per_second": partial(plain_images_per_second, RECIPE, *plain),
        "baseline_images_per_second": partial(plain_images_per_second, BASELINE, *plain),
        "matrix_flops_per_second": partial(measure.matrix_peak, devices, seconds / 4),
    }
    short = replace(RECIPE, epochs=GROWTH_EPOCHS)
    speeds, costs = defaultdict(list), defaultdict(list)
    for number in range(1, rounds + 1):
        prefix = f"round {number} of {rounds}:"
        for name, measurement in table.items():
            speeds[name].append(measure.run_in_subprocess(measurement))
            logger.info(f"{prefix} {speeds[name][-1]:,.0f} {name.replace('_', ' ')}")
        for fraction, n_members in GROWTH_CASES:
            part = _fraction_of(data, fraction)
            cost = measure.run_in_subprocess(measure.training_cost, short, part, n_members, devices)
            costs[fraction, n_members].append(cost)
            logger.info(
                f"{prefix} {cost[0]:.1f} s for {fraction:.0%} of the rows, members: {n_members}"
            )
    return speeds, costs


def _fraction_of(data: Dataset, fraction: float) -> Dataset:
    return measure.first_rows(data, round(fraction * len(data.labels)))


def finished_seconds(run: Run, environment: Environment) -> float | None:
    """Return the seconds of a finished run of the present default recipe on this machine."""
    if not run.is_done() or run.request().recipe != RECIPE:
        return None
    machine = attrgetter("device", "hardware", "cores", "precision")
    return run.seconds() if machine(run.environment()) == machine(environment) else None


def _settings(data: Dataset, devices: Sequence[Device], finished: float | None) -> dict[str, Any]:
    """Return what the figures are computed from, besides what was measured."""
    images = sum(measure.images_per_epoch(RECIPE, data, fold) for fold in RECIPE.trained_folds)
    return {
        "rows": len(data.labels),
        "processes": len(devices),
        "precision": devices[0].precision,
        "network": RECIPE.network,
        "batch_size": RECIPE.batch_size,
        "images": RECIPE.epochs * RECIPE.n_seeds * images,
        "finished_seconds": finished,
        "flops_per_image": measure.training_flops(RECIPE.network),
        "baseline_networks": BASELINE_NETWORKS,
        "baseline_rows": round(BASELINE_FRACTION * len(data.labels)),
        "baseline_epochs": BASELINE.epochs,
        "baseline_batch_size": BASELINE.batch_size,
    }


def _figures(
    speeds: Mapping[str, Sequence[float]], settings: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Return every figure by round: what was measured, and what follows from it."""
    table = {name: np.array(row) for name, row in speeds.items()}
    images = np.prod([settings[f"baseline_{key}"] for key in ("networks", "epochs", "rows")])
    ours = table["images_per_second"]
    table["speedup"] = ours / table["plain_images_per_second"]
    table["baseline_seconds"] = images / table["baseline_images_per_second"]
    table["seconds"] = settings["images"] / ours
    if settings["finished_seconds"] is not None:
        table["seconds"] = np.full(len(ours), settings["finished_seconds"])
    table["baseline_speedup"] = table["baseline_seconds"] / table["seconds"]
    table["mfu"] = ours * settings["flops_per_image"] / table["matrix_flops_per_second"]
    return {name: row.tolist() for name, row in table.items()}


def _growth(costs: Costs, data: Dataset) -> dict[str, Any]:
    """Return seconds and memory by rows and members, and the line of the seconds over rows."""
    cases: list[dict[str, Any]] = []
    for (fraction, n_members), values in costs.items():
        part = _fraction_of(data, fraction)
        memory = [peak for _, peak in values if peak is not None]
        images = n_members * GROWTH_EPOCHS * measure.images_per_epoch(RECIPE, part)
        case = {"fraction": fraction, "rows": len(part.labels), "members": n_members}
        seconds = summary([seconds for seconds, _ in values])
        growth = {
            "images": images,
            "seconds": seconds,
            "memory": summary(memory) if memory else None,
        }
        cases.append(case | growth)
    of_line = [case for case in cases if case["members"] == LINE_MEMBERS]
    medians = [case["seconds"]["median"] for case in of_line]
    line = linear_fit([case["images"] for case in of_line], medians)
    return {"epochs": GROWTH_EPOCHS, "cases": cases, "line": line}


def linear_fit(images: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    """Fit a line to seconds over images; its largest deviation is a fraction of the seconds."""
    slope, fixed = np.polyfit(images, seconds, 1)
    deviations = np.abs((fixed + slope * np.asarray(images)) / np.asarray(seconds) - 1)
    return {
        "fixed_seconds": float(fixed),
        "images_per_second": float(1 / slope),
        "largest_deviation": float(deviations.max()),
    }


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median, the lowest and the highest value, and all of them in order of time."""
    low, high = min(values), max(values)
    return {"median": statistics.median(values), "low": low, "high": high, "values": list(values)}
