"""Devices and the precision of their matrix products."""

import logging
import platform
from dataclasses import dataclass

import torch
from torch import nn

from digit_recognizer.errors import DeviceError

logger = logging.getLogger(__name__)

# Parts of the RuntimeErrors of CUDA and MPS, of cuBLAS and cuDNN, and of torch where it tried all
# of cuDNN's algorithms and dropped those that did not get their memory.
OUT_OF_MEMORY = (
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
)


@dataclass(frozen=True)
class Device:
    """A device and the number format of its matrix products."""

    name: str
    precision: str  # "bf16", "fp16" or "fp32"

    @property
    def kind(self) -> str:
        """The name without a number: cpu, cuda or mps."""
        return self.name.split(":")[0]

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last where it is faster; on MPS it breaks BatchNorm's backward."""
        return torch.contiguous_format if self.name == "mps" else torch.channels_last

    def to_device(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the memory format that is fast there."""
        network.to(self.name)
        for value in (*network.parameters(), *network.buffers()):
            if value.dim() == 4:
                # Not contiguous(): it leaves kernels of one channel as they are, because they are
                # contiguous in both formats. The first layer then returns channels-first images,
                # later layers mix both formats, and training runs at half the speed.
                copy = torch.empty_like(value, memory_format=self.memory_format)
                value.data = copy.copy_(value.data)
        return network

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.kind, dtype, enabled=self.precision != "fp32")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device's memory is too small.

    Torch's own allocator raises `torch.OutOfMemoryError`; libraries that allocate for themselves
    end in a plain RuntimeError.
    """
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in OUT_OF_MEMORY)
    )


def find_devices(device: str) -> list[Device]:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; warn about a GPU that fails."""
    devices, warning = probe_devices(device)
    if warning:
        logger.warning(warning)
    return devices


def probe_devices(device: str) -> tuple[list[Device], str | None]:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    devices : every GPU (``auto``, ``cuda``), or a single device
    warning : set where a GPU is listed but fails its first operation; the CPU is then used
    """
    names = _device_names(_best_kind() if device == "auto" else device)
    for name in names:
        failure = _smoke_test(name)
        if failure:
            return [_device("cpu")], f"{name} is there but fails ({failure}): using the CPU"
    return [_device(name) for name in names], None


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


def _smoke_test(name: str) -> str | None:
    """Return the error of a tiny convolution, if any; some listed GPUs are not supported."""
    try:
        image = torch.ones(1, 1, 8, 8, device=name)
        torch.nn.functional.conv2d(image, image[..., :3, :3]).sum().item()
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return None


def _device(name: str) -> Device:
    if name.startswith("cuda"):
        return Device(name, "bf16" if torch.cuda.get_device_capability(name) >= (8, 0) else "fp16")
    return Device(name, "bf16" if name == "cpu" and _cpu_has_bf16() else "fp32")


def _cpu_has_bf16() -> bool:
    """Return whether bf16 matrix products run in hardware (AVX512-BF16 or AMX)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
