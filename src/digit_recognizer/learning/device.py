"""Which device is used, in which precision."""

import platform
from dataclasses import dataclass

import torch
from torch import nn


class DeviceError(ValueError):
    """A device was asked for that this machine does not have."""


@dataclass(frozen=True)
class Placement:
    """A device and the number format of its matrix products."""

    device: str
    precision: str  # "bf16", "fp16" or "fp32"

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last where it is faster; on MPS it breaks BatchNorm's backward."""
        if self.device == "mps":
            return torch.contiguous_format
        return torch.channels_last

    def put(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the memory format that is fast there."""
        network.to(self.device)
        for value in (*network.parameters(), *network.buffers()):
            if value.dim() == 4:
                # Not contiguous(): kernels of one channel are so in either format, stay as they
                # are, and then the first layers pass on images of both kinds, at half the speed.
                laid_out = torch.empty_like(value, memory_format=self.memory_format)
                value.data = laid_out.copy_(value.data)
        return network

    def autocast(self) -> torch.autocast:
        """The context in which the forward pass runs."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        kind = self.device.split(":")[0]
        return torch.autocast(kind, dtype, enabled=self.precision != "fp32")


def find_placements(device: str) -> tuple[list[Placement], str | None]:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    placements : one for each GPU (``auto``, ``cuda``), or one alone
    warning : set where a GPU says it is there but fails its first operation; the CPU is
        then used instead

    Raises
    ------
    DeviceError
        If the device asked for by name is unknown or not there.
    """
    if device == "auto":
        device = _best_kind()
    names = _device_names(device)
    for name in names:
        failure = _first_operation(name)
        if failure:
            return [_place("cpu")], f"{name} is there but fails ({failure}): using the CPU"
    return [_place(name) for name in names], None


def _best_kind() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _device_names(device: str) -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind, _, number = device.partition(":")
    if kind == "cuda" and not count:
        raise DeviceError("device is 'cuda': torch finds no CUDA GPU here; give --device cpu")
    if device == "cuda":
        return [f"cuda:{index}" for index in range(count)]
    if kind == "cuda" and number.isdecimal():
        if int(number) >= count:
            raise DeviceError(f"device is {device!r}: the last GPU here is cuda:{count - 1}")
        return [device]
    if device == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device is 'mps': torch finds no Apple GPU here; give --device cpu")
    if device not in ("cpu", "mps"):
        raise DeviceError(f"device is {device!r}: give auto, cpu, cuda, cuda:N or mps")
    return [device]


def _first_operation(name: str) -> str | None:
    """What a tiny convolution says when it fails; some GPUs are listed but not supported."""
    try:
        image = torch.ones(1, 1, 8, 8, device=name)
        torch.nn.functional.conv2d(image, image[..., :3, :3]).sum().item()
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return None


def _place(name: str) -> Placement:
    if name.startswith("cuda"):
        return Placement(
            name, "bf16" if torch.cuda.get_device_capability(name) >= (8, 0) else "fp16"
        )
    if name == "cpu" and _cpu_has_bf16():
        return Placement(name, "bf16")
    return Placement(name, "fp32")


def _cpu_has_bf16() -> bool:
    """Whether bf16 matrix products run in hardware (AVX512-BF16 or AMX), not emulated."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    # Private names, which older torch, as a Kaggle image may have it, calls otherwise.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in questions)
