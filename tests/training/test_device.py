"""Memory formats of networks, and the choice of a device."""

import re

import pytest
import torch
from support.pretended_gpu import Gpu, PretendedGpus

from digit_recognizer.errors import DeviceError
from digit_recognizer.training import device as device_module
from digit_recognizer.training.device import (
    Device,
    Probe,
    find_devices,
    is_out_of_memory,
    probe_devices,
    probe_here,
)
from digit_recognizer.training.models import NETWORKS

PROBE_IN_CHILDREN = device_module._probe_in_children  # a pretended GPU replaces it


@pytest.mark.parametrize("name", ["plain", "residual", "narrow", "deotte"])
def test_every_convolution_passes_on_channels_last_images(name: str) -> None:
    network = Device("cpu", "fp32").to_device(NETWORKS[name]())
    strides = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: strides.append(out.stride(1)))
    network(torch.zeros(2, 1, 28, 28))
    assert strides and set(strides) == {1}


def test_moving_a_network_changes_no_weight() -> None:
    network = NETWORKS["plain"]()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = Device("cpu", "fp32").to_device(network).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", "device is 'tpu': give auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", "device is 'cuda:x'|torch finds no CUDA GPU"),
    ],
)
def test_an_unknown_device_is_refused(device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        find_devices(device)


def test_auto_finds_a_device_that_works() -> None:
    probes = probe_devices("auto")
    assert probes
    assert not any(probe.failure for probe in probes)
    assert all(probe.device.hardware for probe in probes)


OLD = Gpu("GeForce GT 710", major=3, total_memory=2 * 2**30, works=False)
FAILS = (
    r"cuda:0 \(GeForce GT 710, 2 GiB\) fails its first operation: CUDA error: no kernel image is"
    r" available for execution"
)


def test_one_bad_gpu_of_several_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with PretendedGpus(OLD, Gpu()):
        for device in ("auto", "cuda"):
            assert find_devices(device) == [Device("cuda:1", "bf16", "Pretended A100, 40 GiB")]
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(f"warning: {FAILS}: training does without it", first)
    assert second == first


def test_a_bad_gpu_that_was_asked_for_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with PretendedGpus(OLD, Gpu()), pytest.raises(DeviceError, match=f"'cuda:0': {FAILS}: give"):
        find_devices("cuda:0")
    with PretendedGpus(OLD), pytest.raises(DeviceError, match=f"'cuda': {FAILS}: give"):
        find_devices("cuda")
    assert not caplog.records


def test_where_no_gpu_works_auto_is_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    with PretendedGpus(OLD):
        (device,) = find_devices("auto")
    assert device.name == "cpu"
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("major", "minor", "precision"),
    [(6, 0, "fp32"), (7, 0, "fp16"), (7, 5, "fp16"), (8, 0, "bf16"), (12, 0, "bf16")],
)
def test_a_gpu_computes_in_what_its_tensor_cores_can(
    major: int, minor: int, precision: str
) -> None:
    with PretendedGpus(Gpu(major=major, minor=minor)):
        assert [device.precision for device in find_devices("cuda")] == [precision]


def test_this_process_leaves_gpus_to_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with PretendedGpus() as gpus:
        found = Device("cuda:0", "bf16")
        monkeypatch.setattr(device_module, "_probe_in_child", lambda name: Probe(found))
        monkeypatch.setattr(device_module, "_probe_in_children", PROBE_IN_CHILDREN)
        monkeypatch.setattr(torch.cuda, "get_device_properties", None)
        assert find_devices("cuda") == [found, found]
    assert not gpus.kernels


def test_devices_are_tried_in_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's "meta" device takes tensors and cannot compute: like a GPU without kernels."""
    works, fails = PROBE_IN_CHILDREN(["cpu", "meta"])
    assert works == probe_here("cpu")
    assert works.failure == ""
    assert "meta" in fails.failure
    monkeypatch.setattr(device_module, "PROBE_SECONDS", 0)
    (late,) = PROBE_IN_CHILDREN(["cpu"])
    assert str(late) == "cpu (unknown) fails its first operation: no answer in 0 s"


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory",
        "MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 1.00 GB)",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "Unable to find a valid cuDNN algorithm to run convolution",
    ],
)
def test_libraries_say_in_their_own_words_that_memory_ran_out(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert not is_out_of_memory(ValueError(message))
    assert not is_out_of_memory(RuntimeError("CUDA error: invalid device function"))
