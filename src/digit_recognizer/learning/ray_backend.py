"""Members as tasks of a Ray cluster: Ray finds them a core or a GPU, and repeats what is lost."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import torch

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import Epoch, Rows, Trained, fit_member
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.parallel import ALLOCATOR, WorkerDiedError
from digit_recognizer.learning.recipe import Recipe

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
if os.environ.get("RAY_ADDRESS", "local") != "local":
    # Of 40 s each; by default Ray looks for 13 minutes for a cluster that is not there.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")

MAX_RETRIES = 3  # of a member whose worker or node is lost


class ClusterError(RuntimeError):
    """Ray is not installed, or its cluster cannot be reached or used."""


try:
    import ray
except ImportError as error:
    raise ClusterError(
        "--backend ray needs Ray, which is not installed here: run .venv/bin/python -m pip"
        " install --constraint constraints.lock --editable '.[cluster]'"
    ) from error


def train_members_on_ray(
    recipe: Recipe,
    rows: Rows,
    members: Sequence[Member],
    placements: Sequence[Placement],
    on_epoch: Callable[[Member, Epoch], None],
) -> Generator[Trained, None, None]:
    """Train members as Ray tasks of one core or one GPU each, and yield each when done.

    As `parallel.train_members`, with the same bytes, but `on_epoch` hears of a member's last
    epoch only. The cluster is that of the variable RAY_ADDRESS, where this package has to be
    installed on every node; without one, a local cluster for `placements` lives as long as
    the iteration.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached or a node lacks the package.
    WorkerDiedError
        If a member is lost more than `MAX_RETRIES` times.
    DivergedError, OutOfMemoryError
        As `fit_member` raises them.
    """
    _connect(len(placements))
    try:
        task = ray.remote(_train).options(
            num_cpus=1,
            num_gpus=int(placements[0].device.startswith("cuda")),
            max_retries=MAX_RETRIES,
        )
        shared = ray.put((recipe, rows))
        waiting = [task.remote(shared, member, placements[0]) for member in members]
        for trained in _results(waiting):
            on_epoch(trained.member, trained.history[-1])
            yield trained
    finally:
        ray.shutdown()  # ends tasks that are still at it


def _connect(n_local: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start a local one for `n_local` members at a time."""
    address = os.environ.get("RAY_ADDRESS", "local")
    size = {"num_cpus": n_local, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level="error",
            runtime_env={"env_vars": ALLOCATOR},
            **size,
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"Ray cluster {address!r}: {_first_line(error)}:"
            " check RAY_ADDRESS and that 'ray status' answers there"
        ) from None


def _train(shared: tuple[Recipe, Rows], member: Member, placement: Placement) -> Trained:
    """The task: one thread, as in a worker of `parallel`, so the bytes are the same."""
    torch.set_num_threads(1)
    if placement.device.startswith("cuda"):
        placement = replace(placement, device="cuda:0")  # Ray shows a task its own GPU alone
    recipe, rows = shared
    # Ray's arrays are read-only views of shared memory, of which torch warns.
    own = Rows(*(getattr(rows, item.name).copy() for item in fields(rows)))
    return fit_member(recipe, own, member, placement)


def _results(waiting: list[Any]) -> Iterator[Trained]:
    while waiting:
        done, waiting = ray.wait(waiting)
        try:
            yield ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise _lost(error) from None


def _lost(error: Exception) -> Exception:
    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
        ray.exceptions.OutOfMemoryError,
    )
    if isinstance(error, lost):
        return WorkerDiedError(
            f"a member was lost {MAX_RETRIES + 1} times, perhaps for want of memory on its node:"
            " what was done is kept; repeat the command"
        )
    return ClusterError(f"Ray: {_first_line(error)}: is this package installed on every node?")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
