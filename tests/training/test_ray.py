"""The same run by tasks of a Ray cluster, also one that loses a node on the way."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.runner import QUICK, call, command, outcome, train
from support.simulated_gpu import SimulatedGpus

from digit_recognizer.data.files import read_json
from digit_recognizer.errors import DeviceError
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device, find_devices

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::ResourceWarning"),
]
LONG = (*QUICK, "--n-splits", "3", "--epochs", "20")


def assert_same(run_dir: Path, other: Path) -> None:
    assert outcome(run_dir) == outcome(other)
    report, others = (read_json(folder / "cv.json") for folder in (run_dir, other))
    times = {name: others[name] for name in ("seconds", "augment_share")}
    assert {**report, **times} == others


def test_without_ray_one_line_says_what_to_install_and_nothing_is_begun(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "digit_recognizer.training.ray_backend", raising=False)
    monkeypatch.delattr("digit_recognizer.training.ray_backend", raising=False)
    assert call(place, "train", "--data", "small", "--run", "lacking", "--backend", "ray") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ray is not installed: install digit-recognizer[notebook,clu")
    assert not (place / "submissions" / "lacking").exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one core each; a driver started meanwhile joins the first."""
    utils = pytest.importorskip("ray.cluster_utils")
    two = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    two.add_node(num_cpus=1)
    two.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", two.address)
    yield two
    two.shutdown()


@pytest.mark.slow
def test_the_clusters_devices_count_and_not_those_of_the_driver(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from digit_recognizer.training.ray_backend import cluster_devices

    (cpu,) = find_devices("cpu")
    with SimulatedGpus():
        assert cluster_devices("auto", None) == [cpu, cpu]
        assert cluster_devices("cpu", 3) == [cpu, cpu, cpu]
        with pytest.raises(DeviceError, match="'cuda': the Ray cluster has none; give auto or cpu"):
            cluster_devices("cuda", None)
        with pytest.raises(DeviceError, match="'cuda:1': for Ray give auto, cpu or cuda"):
            cluster_devices("cuda:1", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "98,99")  # of no machine, but Ray counts them
    cluster.add_node(num_cpus=1, num_gpus=2)
    cluster.wait_for_nodes()
    # Ray believes in these GPUs, and torch on that node does not.
    with pytest.raises(DeviceError, match=r"on a node of the Ray cluster, cuda:0 .* fails its"):
        cluster_devices("auto", None)


@pytest.mark.slow
@pytest.mark.parametrize("gpu", [0, 1])
def test_members_share_a_gpu_each_in_a_new_process(
    gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    from digit_recognizer.training import ray_backend
    from digit_recognizer.training.ray_backend import _cluster, _task_options

    monkeypatch.setattr(ray_backend, "VISIBLE", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # and is put back at the end
    devices = [Device(f"cuda:{gpu}", "bf16")] * 3
    with _cluster(devices):
        options = _task_options("cuda", len(devices))
        assert options["num_gpus"] == 0.3333
        where = ray.remote(**options)(lambda: (os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]))
        processes, gpus = zip(*ray.get([where.remote() for _ in range(5)]), strict=True)
    assert len(set(processes)) == 5
    assert set(gpus) == {str(gpu)}


def in_training(node: Any) -> list[int]:
    """Process ids of a node's workers that are at a member."""
    (raylet,) = node.all_processes["raylet"]
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            title = (entry / "cmdline").read_bytes()
            if parent == raylet.process.pid and title.startswith(b"ray::_train"):
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_node_killed_in_mid_training_changes_no_byte(place: Path, cluster: Any) -> None:
    done = train(place, "plain-long", *LONG)
    assert done.returncode == 0, done.stderr
    words = command("train", place, "--data", "small", "--run", "nodes", *LONG, "--backend", "ray")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    (lost,) = cluster.worker_nodes
    deadline = time.monotonic() + 120
    while not in_training(lost):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)  # well into the member
    (at_it,) = in_training(lost)
    cluster.remove_node(lost, allow_graceful=False)
    assert not Run(place / "submissions" / "nodes").is_finished()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert not Path(f"/proc/{at_it}").exists()
    assert_same(place / "submissions" / "nodes", place / "submissions" / "plain-long")


@pytest.mark.slow
def test_a_local_cluster_is_started_where_no_address_is_given(place: Path) -> None:
    pytest.importorskip("ray")
    done = train(place, "local", "--backend", "ray")
    assert done.returncode == 0, done.stderr
    assert_same(place / "submissions" / "local", place / "submissions" / "whole")


@pytest.mark.slow
def test_a_setting_that_diverges_and_a_cluster_that_is_not_there_are_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    wild = ("--epochs", "6", "--lr", "10", "--weight-decay", "10")  # weights explode
    diverged = train(place, "diverges", *wild, "--backend", "ray")
    assert (diverged.returncode, diverged.stderr.count("error: ")) == (1, 1), diverged.stderr
    assert "lower the learning rate" in diverged.stderr
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_NUM_REDIS_GET_RETRIES", "1")
    away = train(place, "away", "--backend", "ray")
    assert away.returncode == 1
    assert "check RAY_ADDRESS" in away.stderr
    assert "Traceback" not in away.stderr
