"""Measurements of training speed, each in processes of its own."""

import multiprocessing as mp
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

from digit_recognizer.data.competition import Dataset
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import EpochMetrics, Member, assign_folds
from digit_recognizer.training.models import network_cost
from digit_recognizer.training.parallel import exit_with_parent, train_members
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

# Read at a process's start; otherwise the profiler writes its own notes among the results.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

MATRIX = 4096  # side of the matrices whose product is timed
# An operator belongs to the first group one of whose words is part of its name.
GROUPS = {
    "convolution backward": ("convolution_backward", "conv_depthwise2d_backward"),
    "convolution forward": ("convolution", "conv2d"),
    "batch norm": ("batch_norm",),
    "pooling": ("max_pool", "adaptive_avg_pool"),
    "optimizer": ("adam", "Optimizer."),
    "averages of weights and gradients": ("lerp",),
    "copies and casts": ("copy", "clone", "contiguous", "empty", "zero", "fill", "Memcpy"),
    "linear layers and Muon": ("addmm", "aten::mm", "linear"),
    "ReLU and sums": ("relu", "threshold", "aten::add", "clamp"),
}
OTHERS, AUGMENTATION, BETWEEN = "others", "augmentation", "between operators"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
P = ParamSpec("P")
R = TypeVar("R")


class StopTrainingError(Exception):
    """The end of a training of which enough was measured."""


def run_in_subprocess(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return the result of a call in a new process, which dies with this one."""
    context = mp.get_context("spawn")
    alive, lifeline = context.Pipe(duplex=False)
    with alive, ProcessPoolExecutor(1, context, exit_with_parent, (alive,)) as pool, lifeline:
        result = pool.submit(function, *args, **kwargs).result()
        pool.shutdown()  # it cleans up; on an error, closing the lifeline ends it at once
        return result


def training_rate(recipe: Recipe, data: Dataset, devices: Sequence[Device]) -> float:
    """Measure the images/s of ``make train`` in the first epoch of one member per device.

    By the training's own clock, and with all that it does: start of the kernels, augmentation,
    averaged weights, validation after the epoch.
    """
    members = [Member(0, seed) for seed in range(len(devices))]
    seconds: dict[Member, float] = {}

    def on_epoch(member: Member, epoch: EpochMetrics) -> None:
        seconds.setdefault(member, epoch.seconds)
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
    batch_size = min(recipe.batch_size, n_rows)
    return n_rows // batch_size * batch_size


def training_cost(
    recipe: Recipe, data: Dataset, n_members: int, devices: Sequence[Device]
) -> tuple[float, int | None]:
    """Train `n_members` as ``make train`` does; return the seconds and `peak_memory`.

    Call it through `run_in_subprocess`: the peak of memory is that of the process's whole life.
    """
    members = [Member(0, seed) for seed in range(n_members)]
    start = time.perf_counter()
    with closing(train_members(recipe, data, members, devices, lambda *_: None)) as results:
        list(results)
    seconds = time.perf_counter() - start
    return seconds, peak_memory(min(n_members, len(devices)))


def peak_memory(n_workers: int) -> int | None:
    """Return the peak memory in bytes of this process and its workers; None where unknown.

    All workers count as the largest, as if all had their peak at once.
    """
    try:
        import resource
    except ModuleNotFoundError:  # not POSIX
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return unit * (own + n_workers * largest)


def first_rows(data: Dataset, n_rows: int) -> Dataset:
    """Return the first training rows and one test row; predictions are not what is timed."""
    images, labels = data.images[:n_rows], data.labels[:n_rows]
    return replace(data, images=images, labels=labels, test_images=data.test_images[:1])


def training_flops(network: str) -> int:
    """Return the floating-point operations of a training step per image, forward and backward."""
    # Two for each multiply-add; a backward pass multiplies twice what the forward pass does.
    return network_cost(network).multiply_adds * 2 * (1 + 2)


def matrix_peak(devices: Sequence[Device], seconds: float) -> float:
    """Measure the FLOP/s of large matrix products in the training's precision.

    One process with one thread on each core, or one on each GPU, all busy at the same time.
    """
    context = mp.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(devices), context) as pool:
        barrier = manager.Barrier(len(devices))
        futures = [pool.submit(_multiply, device, seconds, barrier) for device in devices]
        return sum(future.result() for future in futures)


def _multiply(device: Device, seconds: float, barrier: threading.Barrier) -> float:
    torch.set_num_threads(1)
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
    """Return the fraction of a member's first epoch, with its validation, by operator group.

    On a CPU the groups, augmentation and the time between operators (Python) add up to 1; on
    a GPU the groups alone, of the time in which it is busy. Call it through
    `run_in_subprocess`: it sets one thread.
    """
    torch.set_num_threads(1)
    on_gpu = device.name.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    profiler = profile(activities=activities, acc_events=True)
    epochs: list[EpochMetrics] = []

    def on_epoch(epoch: EpochMetrics) -> None:
        profiler.stop()
        epochs.append(epoch)
        raise StopTrainingError

    profiler.start()
    with suppress(StopTrainingError):
        fit_member(recipe, data, Member(0, 0), device, on_epoch)
    events = profiler.key_averages()
    if on_gpu:
        seconds = kernel_seconds(events)
    else:
        seconds = _by_group((event.key, event.self_cpu_time_total) for event in events)
        seconds[AUGMENTATION] = epochs[0].augment_seconds
        seconds[BETWEEN] = max(0.0, epochs[0].seconds - sum(seconds.values()))
    total = sum(seconds.values())
    return {name: value / total for name, value in seconds.items()}


def kernel_seconds(events: Iterable[Any]) -> dict[str, float]:
    """Return the GPU's seconds by group, each kernel counted once.

    The profiler lists a kernel with the operator that launched it, again under its own name,
    and a third time in annotations such as ``Optimizer.step``. Here it counts for its operator,
    or for the other operations if it has none.
    """
    times: dict[str, list[tuple[str, float]]] = {"CPU": [], "CUDA": []}
    for event in events:
        if not event.is_user_annotation:
            times[event.device_type.name].append((event.key, event.self_device_time_total))
    seconds = _by_group(times["CPU"])
    busy = sum(time for _, time in times["CUDA"]) / 1e6
    seconds[OTHERS] += max(0.0, busy - sum(seconds.values()))
    return seconds


def _by_group(times: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sum the times of operators, in microseconds, to seconds by group."""
    seconds = dict.fromkeys([*GROUPS, OTHERS], 0.0)
    for operator, microseconds in times:
        seconds[group_of(operator)] += microseconds / 1e6
    return seconds


def group_of(operator: str) -> str:
    """Return the group that an operator, by its name, belongs to."""
    groups = (g for g, words in GROUPS.items() if any(word in operator for word in words))
    return next(groups, OTHERS)
