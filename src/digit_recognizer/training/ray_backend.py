"""Training of members as tasks of a Ray cluster, which repeats those that are lost."""

import os
from collections.abc import Generator, Sequence
from dataclasses import replace

import torch

from digit_recognizer.data.competition import Dataset
from digit_recognizer.errors import TrainingError, WorkerDiedError
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member, TrainedMember
from digit_recognizer.training.parallel import MALLOC_ENV, OnEpoch, OnStep
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray sends usage reports
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
if os.environ.get("RAY_ADDRESS", "local") != "local":
    # 40 s each; by default Ray tries for 13 minutes to reach a cluster that does not answer.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")

MAX_RETRIES = 3  # of a member whose worker or node is lost


try:
    import ray
except ImportError as error:
    raise TrainingError(
        "--backend ray needs Ray, which is not installed here: run .venv/bin/python -m pip"
        " install --constraint constraints.lock --editable '.[cluster]'"
    ) from error


def train_members_on_ray(
    recipe: Recipe,
    data: Dataset,
    members: Sequence[Member],
    devices: Sequence[Device],
    on_epoch: OnEpoch,
    on_step: OnStep = lambda member, epochs_done: None,
) -> Generator[TrainedMember, None, None]:
    """Train members as Ray tasks of one core or one GPU each, and yield each when done.

    Like `parallel.train_members`, with the same bytes, but `on_epoch` gets only the last epoch
    of a member, and `on_step` nothing. The environment variable RAY_ADDRESS names the cluster, which needs this package
    on every node; without it, a local cluster for `devices` is started, and stopped at the end.
    """
    _connect(len(devices))
    try:
        num_gpus = int(devices[0].name.startswith("cuda"))
        task = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=MAX_RETRIES)(_train)
        shared = ray.put((recipe, data))
        tasks = [task.remote(shared, member, devices[0]) for member in members]
        while tasks:
            done, tasks = ray.wait(tasks)
            trained = ray.get(done[0])
            on_epoch(trained.member, trained.history[-1])
            yield trained
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise _user_error(error) from None
    finally:
        ray.shutdown()  # ends tasks that are still running


def _connect(n_local: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start a local one for `n_local` members at a time."""
    address = os.environ.get("RAY_ADDRESS", "local")
    size = {"num_cpus": n_local, "include_dashboard": False} if address == "local" else {}
    try:
        quiet = {"log_to_driver": False, "logging_level": "error"}
        ray.init(address, runtime_env={"env_vars": MALLOC_ENV}, **quiet, **size)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise TrainingError(
            f"Ray cluster {address!r}: {_first_line(error)}:"
            " check RAY_ADDRESS and that 'ray status' answers there"
        ) from None


def _train(shared: tuple[Recipe, Dataset], member: Member, device: Device) -> TrainedMember:
    """Train one member with one thread, like a worker of `parallel`, so the bytes are equal."""
    torch.set_num_threads(1)
    if device.name.startswith("cuda"):
        device = replace(device, name="cuda:0")  # a task only sees its own GPU
    recipe, data = shared
    # Ray's arrays are read-only views of shared memory, of which torch warns.
    arrays = {key: getattr(data, key).copy() for key in ("images", "labels", "test_images")}
    return fit_member(recipe, replace(data, **arrays), member, device)


def _user_error(error: Exception) -> TrainingError:
    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
        ray.exceptions.OutOfMemoryError,
    )
    if isinstance(error, lost):
        return WorkerDiedError(
            f"a member was lost {MAX_RETRIES + 1} times, perhaps because its node ran out of"
            " memory: finished members are kept; repeat the command"
        )
    return TrainingError(f"Ray: {_first_line(error)}: is this package installed on every node?")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
