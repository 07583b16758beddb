"""Memory formats of networks, and the choice of a device."""

import re
import warnings

import pytest
import torch
from support.simulated_gpu import Gpu, SimulatedGpus

from digit_recognizer.errors import DeviceError, TrainingError
from digit_recognizer.training import device as device_module
from digit_recognizer.training.device import (
    Device,
    Probe,
    find_devices,
    out_of_memory_as,
    probe_here,
)
from digit_recognizer.training.models import NETWORKS

PROBE_IN_CHILDREN = device_module._probe_in_children  # a simulated GPU replaces it


@pytest.mark.parametrize("name", ["plain", "residual", "pooled", "deotte"])
def test_every_convolution_passes_on_channels_last_images(name: str) -> None:
    network = Device("cpu", "fp32").to_device(NETWORKS[name]())
    strides = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: strides.append(out.stride(1)))
    network(torch.zeros(2, 1, 28, 28))
    assert strides and set(strides) == {1}


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:2"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(device: str) -> None:
    missing = f"device is '{device}', which PyTorch does not find"
    message = f"{missing}: give one of auto, cuda:0, cuda:1, cpu"
    with SimulatedGpus(), pytest.raises(DeviceError, match=message):
        find_devices(device)


def test_a_driver_that_is_too_old_is_one_line_where_a_gpu_may_be_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_available() -> bool:
        fault = "The NVIDIA driver on your system is too old (found version 12040)"
        end = "Please update it. (Triggered internally at CUDAFunctions.cpp:119.)"
        warnings.warn(f"CUDA initialization: {fault}. {end}", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("auto", "cpu"):
        assert [device.name for device in find_devices(name)] == ["cpu"]
    assert caplog.messages == [
        "warning: no NVIDIA GPU can be used: The NVIDIA driver on your system is too old (found"
        " version 12040). Please update it."
    ]


OLD = Gpu("GeForce GT 710", major=3, total_memory=2 * 2**30, works=False)
FAILS = (
    r"cuda:0 \(GeForce GT 710, 2 GiB\) fails its first operation: CUDA error: no kernel image is"
    r" available for execution"
)


def test_one_bad_gpu_of_several_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with SimulatedGpus(OLD, Gpu()):
        for device in ("auto", "cuda"):
            assert find_devices(device) == [Device("cuda:1", "bf16", "Simulated A100, 40 GiB")]
    first, second = caplog.messages
    assert re.fullmatch(f"warning: {FAILS}: training does without it", first)
    assert second == first


def test_a_bad_gpu_that_was_asked_for_is_an_error() -> None:
    with SimulatedGpus(OLD, Gpu()), pytest.raises(DeviceError, match=f"'cuda:0': {FAILS}: give"):
        find_devices("cuda:0")


def test_where_no_gpu_works_auto_is_the_cpu_and_cuda_an_error() -> None:
    with SimulatedGpus(OLD):
        assert [device.name for device in find_devices("auto")] == ["cpu"]
        with pytest.raises(DeviceError, match=f"'cuda': {FAILS}: give"):
            find_devices("cuda")


def test_a_gpu_computes_in_what_its_tensor_cores_can() -> None:
    gpus = {
        **{Gpu("Tesla P100", major=6): "fp32", Gpu("Tesla T4", major=7): "fp16"},
        **{Gpu(major=8): "bf16", Gpu(major=12): "bf16"},
        # They have the capability of a T4, but no tensor cores.
        **{Gpu("NVIDIA GeForce GTX 1660 Ti", major=7): "fp32", Gpu("MX450", major=7): "fp32"},
        Gpu("Quadro T1000 with Max-Q Design", major=7): "fp32",
    }
    with SimulatedGpus(*gpus):
        found = [device.precision for device in find_devices("cuda")]
    assert found == [*gpus.values()]


def test_this_process_leaves_gpus_to_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedGpus() as gpus:
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
    assert str(late).startswith("cpu (unknown) fails its first operation: no answer in 0 s")


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000000 bytes.",
    ],
)
def test_libraries_say_in_their_own_words_that_memory_ran_out(message: str) -> None:
    for error in (RuntimeError(message), torch.OutOfMemoryError()):
        with pytest.raises(TrainingError, match="too little"), out_of_memory_as("too little"):
            raise error
    other = RuntimeError("CUDA error: invalid device function")
    with pytest.raises(RuntimeError, match="invalid device"), out_of_memory_as("too little"):
        raise other
