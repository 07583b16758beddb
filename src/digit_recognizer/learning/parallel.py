"""Members beside each other: one process for each, on its core or GPU."""

import multiprocessing as mp
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue

import torch

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import Epoch, Rows, Trained, fit_member
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.recipe import Recipe

# glibc gives large blocks back to the kernel after every step and takes them anew; keeping
# them makes training faster (1.4x on a Xeon, 1.02x on an EPYC). Read at a process's start.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}


class WorkerDiedError(RuntimeError):
    """A worker process was killed, most often for want of memory."""


@dataclass(frozen=True)
class _Job:
    """What a worker process knows from its start."""

    recipe: Recipe
    rows: Rows
    placement: Placement
    epochs: "SimpleQueue[tuple[Member, Epoch]]"


_job: _Job
Backend = Callable[
    [Recipe, Rows, Sequence[Member], Sequence[Placement], Callable[[Member, Epoch], None]],
    Generator[Trained, None, None],
]


def find_backend(name: str) -> Backend:
    """What spreads members: `train_members`, or its counterpart for ``ray``.

    Raises
    ------
    ClusterError
        If Ray is asked for and not installed.
    """
    if name == "ray":
        from digit_recognizer.learning.ray_backend import train_members_on_ray

        return train_members_on_ray
    return train_members


def count_cores() -> int:
    """The cores that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def places(placements: Sequence[Placement], workers: int | None) -> list[Placement]:
    """Where members are trained beside each other: one place for each.

    Parameters
    ----------
    placements : the GPUs, or the CPU alone
    workers : members at a time, on the GPUs in turn; if None, one on each GPU or core
    """
    at_a_time = workers or (count_cores() if placements[0].device == "cpu" else len(placements))
    return list(islice(cycle(placements), at_a_time))


def train_members(
    recipe: Recipe,
    rows: Rows,
    members: Sequence[Member],
    placements: Sequence[Placement],
    on_epoch: Callable[[Member, Epoch], None],
) -> Generator[Trained, None, None]:
    """Train members, as many at a time as there are placements, and yield each when done.

    Workers only compute; whoever iterates writes. Each has one thread: two processes of one
    thread train 1.4 times as many images as one process of two. They end at once when this
    process ends, however it does, or when the iteration is left.

    Raises
    ------
    WorkerDiedError
        If a worker is killed.
    DivergedError, OutOfMemoryError
        As `fit_member` raises them.
    """
    context = mp.get_context("spawn")
    alive, lifeline = context.Pipe(duplex=False)
    epochs: SimpleQueue[tuple[Member, Epoch]] = context.SimpleQueue()
    waiting: SimpleQueue[Placement] = context.SimpleQueue()
    n_workers = min(len(placements), len(members))
    for placement in placements[:n_workers]:  # no more: nobody reads yet, and the pipe is small
        waiting.put(placement)
    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    pool = ProcessPoolExecutor(
        n_workers,
        context,
        initializer=_start_worker,
        initargs=(alive, recipe, rows, waiting, epochs),
    )
    try:
        futures = {pool.submit(_train, member) for member in members}
        yield from _results(futures, epochs, on_epoch)
    except BrokenProcessPool:
        raise WorkerDiedError(
            "a worker process was killed, perhaps for want of memory:"
            " what was done is kept; repeat the command, with --workers 1 if it happens again"
        ) from None
    finally:
        lifeline.close()  # ends workers that are still at it
        pool.shutdown(wait=True, cancel_futures=True)
        alive.close()


def _results(
    futures: set[Future[Trained]],
    epochs: "SimpleQueue[tuple[Member, Epoch]]",
    on_epoch: Callable[[Member, Epoch], None],
) -> Iterator[Trained]:
    while futures:
        done, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
        while not epochs.empty():
            on_epoch(*epochs.get())
        for future in done:
            yield future.result()


def _start_worker(
    alive: Connection,
    recipe: Recipe,
    rows: Rows,
    waiting: "SimpleQueue[Placement]",
    epochs: "SimpleQueue[tuple[Member, Epoch]]",
) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to deal with
    tie_to_parent(alive)
    torch.set_num_threads(1)
    _job = _Job(recipe, rows, waiting.get(), epochs)


def tie_to_parent(alive: Connection) -> None:
    """Let this process end when the one that holds the other end of the pipe does."""
    threading.Thread(target=_die_with_parent, args=(alive,), daemon=True).start()


def _die_with_parent(alive: Connection) -> None:
    """Leave at once when the other end of the pipe is closed, as it is when its process ends."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _train(member: Member) -> Trained:
    def on_epoch(epoch: Epoch) -> None:
        _job.epochs.put((member, epoch))

    return fit_member(_job.recipe, _job.rows, member, _job.placement, on_epoch)
