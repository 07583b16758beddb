"""Training of several members at a time, each in a process of its own on its core or GPU."""

import multiprocessing as mp
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import cycle, islice
from multiprocessing.connection import Connection, wait
from typing import Protocol

import torch

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import TrainingError, UserError
from digit_recognizer.training.device import Device, count_cores, find_devices, hide_gpus_from_cpu
from digit_recognizer.training.members import Checkpoint, EpochMetrics, Member, TrainedMember
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

# glibc returns large blocks to the kernel after every step and requests them again; keeping them
# makes training faster (1.4x on a Xeon, 1.02x on an EPYC). Read at a process's start.
MALLOC_ENV = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
KILLED = (
    "a worker process was killed, perhaps because memory ran out: finished members are kept;"
    " repeat the command, with --workers 1 if it happens again"
)

OnEpoch = Callable[[Checkpoint], None]
OnStep = Callable[[Member, float], None]  # of epochs that the member has done, such as 1.25
TrainMembers = Callable[
    [Recipe, Dataset, Sequence[Checkpoint], Sequence[Device], OnEpoch, OnStep],
    Generator[TrainedMember, None, None],
]
Task = tuple[Recipe, Dataset, Checkpoint]  # for a worker: where a member begins, or goes on
# From a worker: nothing when it is started, then progress, and a member or what went wrong.
Message = tuple[Member, float] | Checkpoint | TrainedMember | Exception | None


class Progress(Protocol):
    """Callbacks for a training's progress."""

    def training(
        self, n_members: int, n_kept: int, epochs: int, epochs_kept: Mapping[Member, int]
    ) -> AbstractContextManager[None]:
        """Show a training of members of `epochs` epochs each, until the block ends.

        An earlier session left `n_kept` of the members, and of others `epochs_kept` epochs.
        """

    def step(self, member: Member, epochs_done: float) -> None:
        """Show how far a member is; the first call is its start."""

    def epoch(self, member: Member, epoch: EpochMetrics) -> None:
        """Show an epoch that a member finished."""

    def finished(self, member: Member) -> None:
        """Show that a member is trained and on disk."""


def find_backend(name: str, device: str, workers: int | None) -> tuple[TrainMembers, list[Device]]:
    """Return the function that trains members, and one device for each that trains concurrently."""
    if name == "ray":
        from digit_recognizer.training import ray_backend

        return ray_backend.train_members_on_ray, ray_backend.cluster_devices(device, workers)
    return train_members, worker_devices(find_devices(device), workers)


def worker_devices(devices: Sequence[Device], workers: int | None) -> list[Device]:
    """Return the device of each worker: the GPUs in turn, or the CPU each time.

    There are as many as asked for; if None, one for each GPU or core.
    """
    n_workers = workers or (count_cores() if devices[0].name == "cpu" else len(devices))
    return list(islice(cycle(devices), n_workers))


def train_members(
    recipe: Recipe,
    data: Dataset,
    starts: Sequence[Checkpoint],
    devices: Sequence[Device],
    on_epoch: OnEpoch,
    on_step: OnStep = lambda member, epochs_done: None,
) -> Generator[TrainedMember, None, None]:
    """Train the members of `starts`, as many at a time as there are devices; yield each when done.

    Workers only compute; the caller writes files. Each has one thread: two processes of one
    thread train 1.1 (EPYC) to 1.4 times (Xeon) as many images as one process of two. They end at
    once when this process ends, for whatever reason, or when the generator is closed.
    """
    for name, value in MALLOC_ENV.items():
        os.environ.setdefault(name, value)
    todo, workers = iter(starts), list[_Worker]()
    try:
        for device in devices[: len(starts)]:
            workers.append(_Worker(device))
        busy = list(workers)
        while busy:
            for worker, message in _messages(busy):
                match message:
                    case Exception() as error:
                        raise error
                    case Checkpoint() as epoch:
                        on_epoch(epoch)
                    case member, epochs_done:
                        on_step(member, epochs_done)
                    case TrainedMember() | None as trained:  # None: the worker is started
                        if start := next(todo, None):
                            worker.send((recipe, data, start))
                        else:
                            busy.remove(worker)
                        if trained:
                            yield trained
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


class _Worker:
    """A process that trains on a device, and a pipe to it.

    Workers share no queue and no lock: one that is killed while it holds a lock keeps it.
    """

    def __init__(self, device: Device) -> None:
        context = mp.get_context("spawn")
        self.pipe, pipe = context.Pipe()
        # Small arguments only: where these fill a pipe, `start` waits for a worker that may be dead.
        self.process = context.Process(target=_work, args=(pipe, device), daemon=True)
        with pipe, _sigint_blocked():  # a worker's end that is open here would outlive the worker
            self.process.start()

    def send(self, task: Task) -> None:
        try:
            self.pipe.send(task)
        except OSError:
            raise TrainingError(KILLED) from None


def _messages(workers: Sequence[_Worker]) -> Iterator[tuple[_Worker, Message]]:
    """Wait for workers that sent something, and yield each with what it sent."""
    sentinels = [worker.process.sentinel for worker in workers]
    ready = wait([*(worker.pipe for worker in workers), *sentinels])
    with_message = [worker for worker in workers if worker.pipe in ready]
    if not with_message:  # on Windows, the pipe of a worker that never opened it has no end
        raise TrainingError(KILLED)
    for worker in with_message:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            raise TrainingError(KILLED) from None
        yield worker, message


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block Ctrl-C, also in processes that are started now: the parent handles it."""
    if sys.platform == "win32":  # it has no signal masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, device: Device) -> None:
    """Train the members that the parent sends, in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()
    hide_gpus_from_cpu(device.name)
    torch.set_num_threads(1)
    message: Message = None
    with suppress(EOFError, OSError):  # the parent ended
        while True:
            pipe.send(message)
            message = _train(pipe, device, pipe.recv())


def _train(pipe: Connection, device: Device, task: Task) -> TrainedMember | Exception:
    recipe, data, start = task

    def on_step(epochs_done: float) -> None:
        pipe.send((start.member, epochs_done))

    try:
        on_step(len(start.history))
        return fit_member(recipe, data, start, device, pipe.send, on_step)
    except UserError as error:
        return error
    except Exception as error:
        # A pipe carries no traceback, and no class of the user's own file.
        sent = RuntimeError(f"{type(error).__name__}: {error}")
        sent.add_note(traceback.format_exc())
        return sent


def exit_with_parent() -> None:
    """Exit this child process as soon as its parent ends, however it ends."""
    parent = mp.parent_process()
    assert parent is not None

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
