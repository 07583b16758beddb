"""Training speed beside baselines, in rounds of one measurement after the other."""

import logging
import multiprocessing as mp
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.data.files import write_json
from digit_recognizer.extras.bench.plain_loop import plain_images_per_second, synchronize
from digit_recognizer.runs.environment import current_environment
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import Checkpoint, Member, assign_folds
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.parallel import exit_with_parent, train_members, worker_devices
from digit_recognizer.training.recipe import RECIPES, Recipe

logger = logging.getLogger(__name__)

RECIPE = RECIPES["default"]
# For each baseline, how many networks of which recipes, and on what share of the rows each trains.
BASELINES: dict[str, tuple[dict[str, int], float]] = {
    "deotte": ({"deotte": 15}, 0.9),
    "baranarca": ({"baranarca-resnet": 5, "baranarca-vgg": 5}, 0.8),
}
MATRIX = 4096  # side of the matrices whose product is timed
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

Measurements = dict[str, Callable[[], float]]


def run_bench(
    folder: Path, out_dir: Path, rounds: int, seconds: float, device: str, workers: int | None
) -> dict[str, Any]:
    """Measure everything, round by round, and write ``bench.json``; return its content.

    A plain loop runs for `seconds` in each round.
    """
    data = load_dataset(folder)
    found = find_devices(device)[:1]  # one GPU beside one GPU
    environment, devices = current_environment(found, data), worker_devices(found, workers)
    measurements = _measurements(data, devices, seconds)
    table = pd.DataFrame(
        _measure_round(measurements, f"round {number} of {rounds}")
        for number in range(1, rounds + 1)
    )
    settings = _settings(data, devices)
    _add_ratios(table, settings)
    report = {
        "dataset": folder.name,
        "environment": asdict(environment),
        "settings": settings,
        "rounds": table.to_dict("records"),
        "figures": table.agg(["median", "min", "max"]).to_dict(),
    }
    write_json(out_dir / "bench.json", report)
    return report


def _measurements(data: Dataset, devices: Sequence[Device], seconds: float) -> Measurements:
    """Return what is measured in a round, the things compared one after the other."""
    plain = partial(plain_images_per_second, data=data, device=devices[0].name, seconds=seconds)
    return {
        "images_per_second": partial(training_rate, RECIPE, data, devices),
        "plain_images_per_second": partial(plain, RECIPE),
        **{
            f"{name}_images_per_second": partial(plain, RECIPES[name])
            for networks, _ in BASELINES.values()
            for name in networks
        },
        "matrix_flops_per_second": partial(matrix_peak, devices, seconds / 4),
    }


def _measure_round(measurements: Measurements, prefix: str) -> dict[str, float]:
    figures = {}
    for name, measurement in measurements.items():
        figures[name] = _run_in_subprocess(measurement)
        logger.info(f"{prefix}: {figures[name]:,.0f} {name.replace('_', ' ')}")
    return figures


def _run_in_subprocess(measurement: Callable[[], float]) -> float:
    """Return what a new process measures, which dies with this one."""
    with ProcessPoolExecutor(1, mp.get_context("spawn"), exit_with_parent) as pool:
        return pool.submit(measurement).result()


class StopTrainingError(Exception):
    """The end of a training of which enough was measured."""


def training_rate(recipe: Recipe, data: Dataset, devices: Sequence[Device]) -> float:
    """Measure the images/s of ``make train`` in an epoch of one member per device.

    By the training's own clock, with all that it does: augmentation, averaged weights, validation.
    A GPU's first epoch does not count, in which it tries algorithms and records the graph.
    """
    starts = [Checkpoint(Member(0, seed)) for seed in range(len(devices))]
    seconds: dict[Member, float] = {}
    epoch = 1 if devices[0].kind == "cpu" else 2

    def on_epoch(checkpoint: Checkpoint) -> None:
        if len(checkpoint.history) >= epoch:
            seconds[checkpoint.member] = checkpoint.history[-1].seconds
        if len(seconds) == len(starts):
            raise StopTrainingError  # leaving the iteration ends the workers

    training = closing(train_members(recipe, data, starts, devices, on_epoch))
    with suppress(StopTrainingError), training as results:
        list(results)
    return images_per_epoch(recipe, data) * sum(1 / value for value in seconds.values())


def images_per_epoch(recipe: Recipe, data: Dataset, fold: int = 0) -> int:
    """Return how many images a member of `fold` trains on per epoch: whole batches."""
    folds = assign_folds(data, recipe)
    n_rows = int((folds != fold).sum())
    return n_rows - n_rows % min(recipe.batch_size, n_rows)


def matrix_peak(devices: Sequence[Device], seconds: float) -> float:
    """Measure the FLOP/s of large matrix products in the training's precision.

    One thread for each member that trains concurrently, all busy at the same time.
    """
    torch.set_num_threads(1)
    barrier = threading.Barrier(len(devices))
    with ThreadPoolExecutor(len(devices)) as threads:
        return sum(threads.map(_multiply, devices, repeat(seconds), repeat(barrier)))


def _multiply(device: Device, seconds: float, barrier: threading.Barrier) -> float:
    left, right = torch.rand(2, MATRIX, MATRIX, device=device.name).to(DTYPES[device.precision])
    product = torch.mm(left, right)
    synchronize(device.name)
    barrier.wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(left, right, out=product)
        synchronize(device.name)
        count += 1
    return 2 * MATRIX**3 * count / (time.perf_counter() - start)


def _settings(data: Dataset, devices: Sequence[Device]) -> dict[str, Any]:
    """Return what the figures are computed from, besides what was measured."""
    images = sum(images_per_epoch(RECIPE, data, fold) for fold in RECIPE.trained_folds)
    return {
        "rows": len(data.labels),
        "processes": len(devices),
        "members": len(RECIPE.trained_folds) * RECIPE.n_seeds,
        "images": RECIPE.epochs * RECIPE.n_seeds * images,
        "baseline_images": {
            name: RECIPES[name].epochs * count * round(fraction * len(data.labels))
            for networks, fraction in BASELINES.values()
            for name, count in networks.items()
        },
        # Two for each multiply-add; a backward pass multiplies twice what the forward pass does.
        "flops_per_image": network_cost(RECIPE).multiply_adds * 2 * (1 + 2),
    }


def _add_ratios(table: pd.DataFrame, settings: dict[str, Any]) -> None:
    """Add what follows from the measurements of each round."""
    ours = table["images_per_second"]
    table["speedup"] = ours / table["plain_images_per_second"]
    # A member is trained by one process: in the last turn, some may have nothing to do.
    turns = -(-settings["members"] // settings["processes"])
    busy = settings["members"] / (turns * settings["processes"])
    table["minutes"] = settings["images"] / (busy * ours) / 60
    for baseline, (networks, _) in BASELINES.items():
        table[f"{baseline}_minutes"] = sum(
            settings["baseline_images"][name] / table[f"{name}_images_per_second"] / 60
            for name in networks
        )
        table[f"{baseline}_speedup"] = table[f"{baseline}_minutes"] / table["minutes"]
    table["mfu"] = ours * settings["flops_per_image"] / table["matrix_flops_per_second"]
