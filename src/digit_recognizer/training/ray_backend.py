"""Training of members as tasks of a Ray cluster, which repeats those that are lost."""

import math
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import DeviceError, TrainingError, first_line
from digit_recognizer.training import parallel
from digit_recognizer.training.device import (
    Device,
    describe_device,
    find_devices,
    hide_gpus_from_cpu,
    probe_here,
)
from digit_recognizer.training.members import Checkpoint, TrainedMember
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray sends usage reports
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
if os.environ.get("RAY_ADDRESS", "local") != "local":
    # 40 s each; by default Ray tries for 13 minutes to reach a cluster that does not answer.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")

import ray  # it reads these variables when it is imported
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES")  # at the start: `_cluster` changes it
MAX_RETRIES = 3  # of a member whose worker or node is lost
# Of each kind of device, as a task only sees its own GPU.
NAMES_IN_TASK = {"cpu": "cpu", "cuda": "cuda:0", "mps": "mps"}

LOST = (  # whatever Ray raises where a node or a worker is gone
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.OutOfMemoryError,
)


def cluster_devices(device: str, workers: int | None) -> list[Device]:
    """Return one device for each member that trains concurrently.

    These are the GPUs of the cluster of RAY_ADDRESS, or for ``cpu`` and where it has none, its
    cores; without RAY_ADDRESS, those of this machine. `workers` members take them in turn, or if
    None, one each.
    """
    if device not in ("auto", *NAMES_IN_TASK):
        raise DeviceError(f"device is {device!r}: for Ray give auto, cpu or cuda")
    if _address() == "local":
        return parallel.worker_devices(find_devices(device), workers)
    with _cluster([]):
        has_gpus = bool(ray.cluster_resources().get("GPU"))
        kind = device if device != "auto" else "cuda" if has_gpus else "cpu"
        found = _devices_of_nodes(kind)
    if not found:
        raise DeviceError(f"device is {device!r}: the Ray cluster has none; give auto or cpu")
    return parallel.worker_devices(found, workers or len(found))


def _devices_of_nodes(kind: str) -> list[Device]:
    """Ask each node for its cores or GPUs; those of a node are taken to be alike."""
    resource, asked = "GPU" if kind == "cuda" else "CPU", []
    for node in ray.nodes():
        if count := int(node["Alive"] and node["Resources"].get(resource, 0)):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(**_task_options(kind, 1), scheduling_strategy=there)(_working_device)
            asked.append((task.remote(kind), count))
    return [device for answer, count in asked for device in [ray.get(answer)] * count]


def _working_device(kind: str) -> Device:
    probe = probe_here(NAMES_IN_TASK[kind])
    if probe.failure:
        raise DeviceError(f"on a node of the Ray cluster, {probe}: give --device cpu")
    return probe.device


def train_members_on_ray(
    recipe: Recipe,
    data: Dataset,
    starts: Sequence[Checkpoint],
    devices: Sequence[Device],
    on_epoch: parallel.OnEpoch,
    on_step: parallel.OnStep,
) -> Generator[TrainedMember, None, None]:
    """Train as many members at a time as there are devices, as Ray tasks; yield each when done.

    Like `parallel.train_members`, with the same bytes, but `on_epoch` gets only the last epoch
    of a member, and `on_step` only its start; a member that is lost starts anew. The environment
    variable RAY_ADDRESS names the cluster, which needs this package on every node; without it, a
    local cluster for `devices` is started, and stopped at the end.
    """
    kind, waiting = devices[0].kind, list(starts)
    running: list[Any] = []
    with _cluster(devices):
        task = ray.remote(**_task_options(kind, len(devices)))(_train)
        shared = ray.put((recipe, data))
        while waiting or running:
            while waiting and len(running) < len(devices):
                start = waiting.pop(0)
                on_step(start.member, len(start.history))
                running.append(task.remote(shared, start, kind))
            done, running = ray.wait(running)
            trained = ray.get(done[0])
            on_epoch(Checkpoint(trained.member, trained.history))
            yield trained


def _task_options(kind: str, n_tasks: int) -> dict[str, Any]:
    """Return what a task takes: a core, and a GPU or, for more tasks than GPUs, a part of one."""
    options: dict[str, Any] = {"num_cpus": 1, "max_retries": MAX_RETRIES}
    if kind == "cuda":
        n_gpus = ray.cluster_resources().get("GPU", 1)
        # Ray counts in steps of 0.0001. A process that has set up CUDA keeps its memory, and does
        # not heed another CUDA_VISIBLE_DEVICES: each task has a process of its own.
        options |= {"num_gpus": 10_000 // math.ceil(n_tasks / n_gpus) / 10_000, "max_calls": 1}
    return options


def _address() -> str:
    return os.environ.get("RAY_ADDRESS", "local")


@contextmanager
def _cluster(devices: Sequence[Device]) -> Iterator[None]:
    """Join the cluster of RAY_ADDRESS, or start a local one for `devices`; leave it at the end."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if _address() == "local":
        gpus = sorted({int(d.name.removeprefix("cuda:")) for d in devices if d.kind == "cuda"})
        options |= {"num_cpus": len(devices), "num_gpus": len(gpus), "include_dashboard": False}
        if gpus:  # Ray numbers those that it sees: not one that fails
            names = VISIBLE.split(",") if VISIBLE else [*map(str, range(gpus[-1] + 1))]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[gpu] for gpu in gpus)
    try:
        ray.init(_address(), runtime_env={"env_vars": parallel.MALLOC_ENV}, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = first_line(error)
        raise TrainingError(f"Ray cluster {_address()!r}: {reason}: check RAY_ADDRESS") from None
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except LOST:
        fault = f"lost {MAX_RETRIES + 1} times, perhaps because its node ran out of memory"
        advice = "finished members are kept; repeat the command"
        raise TrainingError(f"a member was {fault}: {advice}") from None
    except ray.exceptions.RayError as error:
        reason = first_line(error)
        raise TrainingError(f"Ray: {reason}: is this package installed on every node?") from None
    finally:
        ray.shutdown()  # ends tasks that are still running


def _train(shared: tuple[Recipe, Dataset], start: Checkpoint, kind: str) -> TrainedMember:
    """Train one member with one thread, like a worker of `parallel`, so the bytes are equal."""
    hide_gpus_from_cpu(kind)
    torch.set_num_threads(1)
    device = describe_device(NAMES_IN_TASK[kind])  # of this node, in its precision
    recipe, data = shared
    # Ray's arrays are read-only views of shared memory, of which torch warns.
    arrays = {key: getattr(data, key).copy() for key in ("images", "labels", "test_images")}
    data = replace(data, **arrays)
    return fit_member(recipe, data, start, device)
