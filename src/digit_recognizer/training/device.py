"""Devices and the precision of their matrix products."""

import logging
import multiprocessing as mp
import platform
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from digit_recognizer.errors import DeviceError

logger = logging.getLogger(__name__)

PROBE_SECONDS = 120  # for a GPU's first operation, in a process that has to import torch
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
    hardware: str = ""  # the chip, and a GPU's memory

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


@dataclass(frozen=True)
class Probe:
    """A device, and the error of its first operation, if any."""

    device: Device
    failure: str = ""

    def __str__(self) -> str:
        return (
            f"{self.device.name} ({self.device.hardware or 'unknown'}) fails its first operation:"
            f" {self.failure}"
        )


def find_devices(device: str) -> list[Device]:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; warn about a GPU that fails."""
    probes = probe_devices(device)
    working = [probe.device for probe in probes if not probe.failure]
    if not working:
        raise DeviceError(f"device is {device!r}: {probes[0]}: give another --device, such as cpu")
    for probe in probes:
        if probe.failure:
            logger.warning("warning: %s: training does without it", probe)
    return working


def probe_devices(device: str) -> list[Probe]:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, and try each GPU.

    These are all GPUs for ``auto`` and ``cuda``, else a single device. For ``auto``, the CPU
    comes last where no GPU works.
    """
    names = _device_names(_best_kind() if device == "auto" else device)
    probes = [Probe(describe_device("cpu"))] if names == ["cpu"] else _probe_in_children(names)
    if device == "auto" and all(probe.failure for probe in probes):
        probes.append(Probe(describe_device("cpu")))
    return probes


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


def _probe_in_children(names: Sequence[str]) -> list[Probe]:
    """Try GPUs, each in a process of its own, at the same time.

    This process would keep a CUDA context of 0.3 to 0.5 GB on each otherwise; and in compute mode
    EXCLUSIVE_PROCESS, as on clusters, a GPU takes no second process.
    """
    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(_probe_in_child, names))


def _probe_in_child(name: str) -> Probe:
    context = mp.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_probe, args=(name, sender), daemon=True)
    child.start()
    sender.close()
    try:
        if receiver.poll(PROBE_SECONDS):
            found: Probe = receiver.recv()
            return found
        return Probe(Device(name, "fp32"), f"no answer in {PROBE_SECONDS} s")
    except EOFError:
        return Probe(Device(name, "fp32"), "the process that tried it was killed")
    finally:
        child.kill()
        child.join()
        receiver.close()


def _send_probe(name: str, sender: Connection) -> None:
    warnings.simplefilter("ignore")  # torch's, about a GPU that is too old: it fails or it works
    sender.send(probe_here(name))


def probe_here(name: str) -> Probe:
    """Try a tiny convolution in this process: some listed GPUs are not supported."""
    try:
        device = describe_device(name)
    except (RuntimeError, AssertionError) as error:
        return Probe(Device(name, "fp32"), _first_line(error))
    try:
        image = torch.ones(1, 1, 8, 8, device=name)
        torch.nn.functional.conv2d(image, image[..., :3, :3]).sum().item()
    except (RuntimeError, AssertionError) as error:
        return Probe(device, _first_line(error))
    return Probe(device)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def describe_device(name: str) -> Device:
    """Return a device with its precision and hardware; for ``cuda:N``, this sets up CUDA."""
    if name.startswith("cuda"):
        gpu = torch.cuda.get_device_properties(name)
        # Tensor cores: of fp16 from Volta (7.0), of bf16 from Ampere (8.0).
        precision = "bf16" if gpu.major >= 8 else "fp16" if gpu.major == 7 else "fp32"
        return Device(name, precision, f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    return Device(name, "bf16" if name == "cpu" and _cpu_has_bf16() else "fp32", _processor())


def _cpu_has_bf16() -> bool:
    """Return whether bf16 matrix products run in hardware (AVX512-BF16 or AMX)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
