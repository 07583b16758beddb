"""How fast training is: each measurement in processes of its own, so that none disturbs another."""

import multiprocessing as mp
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch

from digit_recognizer.learning.cost import network_cost
from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import Epoch, Rows
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.parallel import tie_to_parent, train_members
from digit_recognizer.learning.recipe import Recipe

# Read at a process's start; otherwise the profiler writes its own notes among the results.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

BACKWARD = 2  # a backward pass multiplies twice what the forward pass does
MATRIX = 4096  # side of the matrices whose product is timed
P = ParamSpec("P")
R = TypeVar("R")


def alone(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a new process, which ends with this one, and return its answer."""
    context = mp.get_context("spawn")
    alive, lifeline = context.Pipe(duplex=False)
    with (
        alive,
        ProcessPoolExecutor(1, context, initializer=tie_to_parent, initargs=(alive,)) as pool,
        lifeline,
    ):
        answer = pool.submit(function, *args, **kwargs).result()
        pool.shutdown()  # it tidies up; without an answer, the lifeline's end ends it at once
        return answer


def training_rate(recipe: Recipe, rows: Rows, placements: Sequence[Placement]) -> float:
    """Images a second of ``make train``, by its own clock, over the first epoch of each member.

    As many members as run beside each other. All that training does is in it: start of the
    kernels, augmentation, averaged weights, the look at held-out rows after the epoch.
    """
    members = [Member(0, seed) for seed in range(len(placements))]
    seconds: dict[Member, float] = {}

    def take(member: Member, epoch: Epoch) -> None:
        seconds.setdefault(member, epoch.seconds)
        if len(seconds) == len(members):
            raise _EnoughError

    with (
        suppress(_EnoughError),
        closing(train_members(recipe, rows, members, placements, take)) as results,
    ):
        list(results)
    return sum(images_an_epoch(recipe, rows, m) / spent for m, spent in seconds.items())


class _EnoughError(Exception):
    """Every member has reported; leaving the iteration ends their processes."""


def images_an_epoch(recipe: Recipe, rows: Rows, member: Member) -> int:
    """How many images a member is trained on in an epoch: whole batches of them."""
    count = int((rows.folds != member.fold).sum())
    batch_size = min(recipe.batch_size, count)
    return count // batch_size * batch_size


@dataclass(frozen=True)
class Spent:
    """What a training took.

    ``images`` are those trained on, over all members and epochs; ``seconds`` the wall clock,
    start of the processes included; ``memory`` the bytes of host memory held at most, by the
    parent and the workers, as if all had their peak at once.
    """

    images: int
    seconds: float
    memory: int


def training_cost(
    recipe: Recipe, rows: Rows, n_members: int, placements: Sequence[Placement]
) -> Spent:
    """Train `n_members` as ``make train`` does, to the end, and say what it took.

    Call it through `alone`: the peak of memory is that of the process's whole life.
    """
    members = [Member(0, seed) for seed in range(n_members)]
    start = time.perf_counter()
    with closing(train_members(recipe, rows, members, placements, _ignore)) as results:
        for _ in results:
            pass
    seconds = time.perf_counter() - start
    images = n_members * recipe.epochs * images_an_epoch(recipe, rows, members[0])
    return Spent(images, seconds, _peak_memory(min(n_members, len(placements))))


def _ignore(member: Member, epoch: Epoch) -> None:
    """Keep no account of epochs on the way."""


def _peak_memory(workers: int) -> int:
    """Bytes: the peak of this process, and for each worker that of the largest one."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return unit * (own + workers * largest)


def first_rows(rows: Rows, n_rows: int) -> Rows:
    """The first `n_rows` training rows, and one test row, as predictions are not what is timed."""
    return Rows(
        rows.images[:n_rows], rows.labels[:n_rows], rows.folds[:n_rows], rows.test_images[:1]
    )


def training_flops(network: str) -> int:
    """Floating-point operations of a training step for one image: forward and backward."""
    return network_cost(network).multiply_adds * 2 * (1 + BACKWARD)


def matrix_peak(placements: Sequence[Placement], seconds: float) -> float:
    """FLOP/s of a large matrix product in the training's precision.

    One process with one thread on each core, or one on each GPU, all busy at the same time.
    """
    context = mp.get_context("spawn")
    together = context.Manager()
    with together, ProcessPoolExecutor(len(placements), context) as pool:
        barrier = together.Barrier(len(placements))
        started = [pool.submit(_multiply, item, seconds, barrier) for item in placements]
        return sum(one.result() for one in started)


def _multiply(placement: Placement, seconds: float, barrier: threading.Barrier) -> float:
    torch.set_num_threads(1)
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    kind, device = kinds[placement.precision], placement.device
    left, right = (torch.rand(MATRIX, MATRIX, device=device).to(kind) for _ in range(2))
    product = torch.mm(left, right)
    wait_for_device(device)
    barrier.wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(left, right, out=product)
        wait_for_device(device)
        count += 1
    return 2 * MATRIX**3 * count / (time.perf_counter() - start)


def wait_for_device(device: str) -> None:
    """Wait until a GPU has done what it was given; a CPU always has."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
