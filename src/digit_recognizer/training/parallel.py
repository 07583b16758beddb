"""Training of several members at a time, each in a process of its own on its core or GPU."""

import multiprocessing as mp
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import cycle, islice
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue

import torch

from digit_recognizer.data.competition import Dataset
from digit_recognizer.errors import WorkerDiedError
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import EpochMetrics, Member, TrainedMember
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

# glibc returns large blocks to the kernel after every step and requests them again; keeping them
# makes training faster (1.4x on a Xeon, 1.02x on an EPYC). Read at a process's start.
MALLOC_ENV = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}

OnEpoch = Callable[[Member, EpochMetrics], None]
OnStep = Callable[[Member, float], None]  # of epochs that the member has done, such as 1.25
TrainMembers = Callable[
    [Recipe, Dataset, Sequence[Member], Sequence[Device], OnEpoch, OnStep],
    Generator[TrainedMember, None, None],
]


def count_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_devices(devices: Sequence[Device], workers: int | None) -> list[Device]:
    """Return the device of each worker.

    Parameters
    ----------
    devices : the GPUs, or only the CPU
    workers : members at a time, on the GPUs in turn; if None, one on each GPU or core
    """
    n_workers = workers or (count_cores() if devices[0].name == "cpu" else len(devices))
    return list(islice(cycle(devices), n_workers))


def train_members(
    recipe: Recipe,
    data: Dataset,
    members: Sequence[Member],
    devices: Sequence[Device],
    on_epoch: OnEpoch,
    on_step: OnStep = lambda member, epochs_done: None,
) -> Generator[TrainedMember, None, None]:
    """Train members, as many at a time as there are devices, and yield each when done.

    Workers only compute; the caller writes files. Each has one thread: two processes of one
    thread train 1.4 times as many images as one process of two. They end at once when this
    process ends, for whatever reason, or when the generator is closed.
    """
    context = mp.get_context("spawn")
    parent_pipe, lifeline = context.Pipe(duplex=False)
    progress_queue: SimpleQueue[tuple[Member, EpochMetrics | float]] = context.SimpleQueue()
    free_devices: SimpleQueue[Device] = context.SimpleQueue()
    n_workers = min(len(devices), len(members))
    for device in devices[:n_workers]:  # no more: nobody reads yet, and the pipe is small
        free_devices.put(device)
    for name, value in MALLOC_ENV.items():
        os.environ.setdefault(name, value)
    initargs = (parent_pipe, recipe, data, free_devices, progress_queue)
    pool = ProcessPoolExecutor(n_workers, context, _start_worker, initargs)
    try:
        futures = {pool.submit(_train, member) for member in members}
        while futures:
            done, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            while not progress_queue.empty():
                member, progress = progress_queue.get()
                if isinstance(progress, EpochMetrics):
                    on_epoch(member, progress)
                else:
                    on_step(member, progress)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise WorkerDiedError(
            "a worker process was killed, perhaps because memory ran out: finished members are"
            " kept; repeat the command, with --workers 1 if it happens again"
        ) from None
    finally:
        lifeline.close()  # ends workers that are still training
        pool.shutdown(wait=True, cancel_futures=True)
        parent_pipe.close()


_fit: Callable[[Member], TrainedMember]  # in a worker process


def _start_worker(
    parent_pipe: Connection,
    recipe: Recipe,
    data: Dataset,
    free_devices: "SimpleQueue[Device]",
    progress_queue: "SimpleQueue[tuple[Member, EpochMetrics | float]]",
) -> None:
    global _fit
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    exit_with_parent(parent_pipe)
    torch.set_num_threads(1)
    device = free_devices.get()

    def fit(member: Member) -> TrainedMember:
        def report(progress: EpochMetrics | float) -> None:
            progress_queue.put((member, progress))

        report(0.0)
        return fit_member(recipe, data, member, device, report, report)

    _fit = fit


def _train(member: Member) -> TrainedMember:
    return _fit(member)


def exit_with_parent(parent_pipe: Connection) -> None:
    """Exit this process as soon as the other end of the pipe is closed, as a dying process does."""

    def wait_and_exit() -> None:
        try:
            parent_pipe.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
