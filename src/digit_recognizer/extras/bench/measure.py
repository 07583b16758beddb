"""Measurements of training speed, each to be called in a process of its own."""

import multiprocessing as mp
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import repeat
from typing import TypeVar

import torch
from torch.profiler import profile

from digit_recognizer.data.competition import Dataset
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Checkpoint, Member, assign_folds
from digit_recognizer.training.parallel import exit_with_parent, train_members
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

# Read at a process's start; otherwise the profiler writes its own notes among the results.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

MATRIX = 4096  # side of the matrices whose product is timed
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
R = TypeVar("R")


class StopTrainingError(Exception):
    """The end of a training of which enough was measured."""


def run_in_subprocess(function: Callable[[], R]) -> R:
    """Return the result of a call in a new process, which dies with this one."""
    context = mp.get_context("spawn")
    alive, lifeline = context.Pipe(duplex=False)
    with alive, ProcessPoolExecutor(1, context, exit_with_parent, (alive,)) as pool, lifeline:
        result = pool.submit(function).result()
        pool.shutdown()  # it cleans up; on an error, closing the lifeline ends it at once
        return result


def training_rate(recipe: Recipe, data: Dataset, devices: Sequence[Device]) -> float:
    """Measure the images/s of ``make train`` in the first epoch of one member per device.

    By the training's own clock, and with all that it does: start of the kernels, augmentation,
    averaged weights, validation after the epoch.
    """
    members = [Member(0, seed) for seed in range(len(devices))]
    seconds: dict[Member, float] = {}

    def on_epoch(checkpoint: Checkpoint) -> None:
        seconds.setdefault(checkpoint.member, checkpoint.history[0].seconds)
        if len(seconds) == len(members):
            raise StopTrainingError  # leaving the iteration ends the workers

    training = closing(train_members(recipe, data, members, devices, on_epoch))
    with suppress(StopTrainingError), training as results:
        list(results)
    return images_per_epoch(recipe, data) * sum(1 / value for value in seconds.values())


def images_per_epoch(recipe: Recipe, data: Dataset, fold: int = 0) -> int:
    """Return how many images a member of `fold` trains on per epoch: whole batches."""
    folds = assign_folds(data, recipe.n_splits, recipe.split_seed)
    n_rows = int((folds != fold).sum())
    return n_rows - n_rows % min(recipe.batch_size, n_rows)


def matrix_peak(devices: Sequence[Device], seconds: float) -> float:
    """Measure the FLOP/s of large matrix products in the training's precision.

    One thread on each core, or one on each GPU, all busy at the same time.
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


def synchronize(device: str) -> None:
    """Wait for all kernels of a GPU; return at once for the CPU."""
    if device != "cpu":
        torch.accelerator.synchronize(device)


def time_fractions(recipe: Recipe, data: Dataset, device: Device) -> dict[str, float]:
    """Return which operators take which fraction of a member's first epoch, the largest first.

    On a CPU, of the time in operators and augmentation; on a CUDA GPU, by kernel, of the time in
    which it is busy.
    """
    torch.set_num_threads(1)
    profiler, kind = profile(acc_events=True), "CUDA" if device.kind == "cuda" else "CPU"
    seconds: dict[str, float] = {}

    def on_epoch(checkpoint: Checkpoint) -> None:
        profiler.stop()
        if kind == "CPU":
            seconds["augmentation"] = checkpoint.history[0].augment_seconds
        raise StopTrainingError

    profiler.start()
    with suppress(StopTrainingError):
        fit_member(recipe, data, Member(0, 0), device, on_epoch)
    for event in profiler.key_averages():
        if event.device_type.name == kind and not event.is_user_annotation:
            own = event.self_device_time_total if kind == "CUDA" else event.self_cpu_time_total
            seconds[event.key] = own / 1e6
    total = sum(seconds.values())
    return {name: seconds[name] / total for name in sorted(seconds, key=lambda n: -seconds[n])}
