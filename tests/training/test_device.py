"""Memory formats of networks, and the choice of a device."""

import pytest
import torch

from digit_recognizer.errors import DeviceError
from digit_recognizer.training.device import (
    Device,
    _smoke_test,
    find_devices,
    is_out_of_memory,
    probe_devices,
)
from digit_recognizer.training.models import NETWORKS


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
    devices, warning = probe_devices("auto")
    assert warning is None
    assert devices


def test_a_device_that_fails_its_first_operation_says_why() -> None:
    """torch's "meta" device takes tensors and cannot compute: like a GPU without kernels."""
    assert _smoke_test("cpu") is None
    assert _smoke_test("meta")


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
