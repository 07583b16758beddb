"""Devices, the precision of their matrix products, and CUDA graphs."""

import logging
import multiprocessing as mp
import os
import platform
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from digit_recognizer.errors import DeviceError, TrainingError, first_line

logger = logging.getLogger(__name__)
warn_once = cache(logger.warning)  # in a process, not for each of its members
# What `_count_gpus` says once, each process would say again.
warnings.filterwarnings("ignore", "CUDA initialization")

PROBE_SECONDS = 120  # for a GPU's first operation, in a process that has to import torch
# Parts of the RuntimeErrors of CPU, CUDA and MPS, of cuBLAS and cuDNN, and of torch where it tried
# all of cuDNN's algorithms and dropped those that did not get their memory.
OUT_OF_MEMORY = re.compile(
    "out of memory|allocate memory|not enough memory|ALLOC(ATION)?_FAILED"
    "|unable to find an engine|find a valid cuDNN algorithm"
)
# Some GPUs of capability 7.5 have none, and cuDNN's fp16 may give NaN (pytorch #58123, #77955).
NO_TENSOR_CORES = re.compile(r"GTX 16|MX[45]50|\bT\d{3,4}\b")
# Steps before the capture: they set up the optimizers' state, and cuDNN chooses its algorithms.
WARMUP_STEPS = 3
NO_MEMORY = "has too little free memory: close other programs that use it, or give --device cpu"

Step = Callable[[], None]


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
        for kernel in network.parameters():
            if kernel.dim() == 4:
                # Not contiguous(): kernels of one channel are contiguous in both formats, and as
                # they are, the first layer returns channels-first images: half the speed.
                copy = torch.empty_like(kernel, memory_format=self.memory_format)
                kernel.data = copy.copy_(kernel.data)
        return network

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.kind, dtype, enabled=self.precision != "fp32")


@contextmanager
def out_of_memory_as(message: str) -> Iterator[None]:
    """Turn a device's out-of-memory error into a TrainingError with this message."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
            raise TrainingError(message) from None
        raise


@dataclass(frozen=True)
class Probe:
    """A device, and the error of its first operation, if any."""

    device: Device
    failure: str = ""

    def __str__(self) -> str:
        device = f"{self.device.name} ({self.device.hardware or 'unknown'})"
        return f"{device} fails its first operation: {self.failure}"


def count_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hide_gpus_from_cpu(device: str) -> None:
    """Hide the GPUs from this process if it trains on the CPU.

    AdamW sets up the first one in its step, whatever it trains on; it may be full or broken.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


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
    names = _device_names(device)
    probes = [Probe(describe_device("cpu"))] if names == ["cpu"] else _probe_in_children(names)
    if device == "auto" and all(probe.failure for probe in probes):
        probes.append(Probe(describe_device("cpu")))
    return probes


def _device_names(device: str) -> list[str]:
    if device == "cpu":
        return ["cpu"]
    gpus = [f"cuda:{index}" for index in range(_count_gpus())]
    names = [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if gpus and device in ("auto", "cuda"):
        return gpus
    if device not in ("auto", *names):
        advice = f"give one of auto, {', '.join(names)}"
        raise DeviceError(f"device is {device!r}, which PyTorch does not find: {advice}")
    return names[:1] if device == "auto" else [device]


def _count_gpus() -> int:
    """Return how many CUDA devices PyTorch finds; warn if it finds none because of the driver."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if caught and not count:
        reason = str(caught[0].message).removeprefix("CUDA initialization: ")
        reason = " ".join(reason.partition(" (Triggered internally")[0].split())
        logger.warning("warning: no NVIDIA GPU can be used: %s", reason)
    return count


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
    found = Probe(Device(name, "fp32"), f"no answer in {PROBE_SECONDS} s, or killed")
    with receiver, suppress(EOFError):
        if receiver.poll(PROBE_SECONDS):
            found = receiver.recv()
    child.kill()
    child.join()
    return found


def _send_probe(name: str, sender: Connection) -> None:
    warnings.simplefilter("ignore")  # torch's, about a GPU that is too old: it fails or it works
    sender.send(probe_here(name))


def probe_here(name: str) -> Probe:
    """Try a tiny convolution in this process: some listed GPUs are not supported."""
    device = Device(name, "fp32")
    try:
        device = describe_device(name)
        image = torch.ones(1, 1, 8, 8, device=name)
        torch.nn.functional.conv2d(image, image[..., :3, :3]).sum().item()
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        return Probe(device, first_line(error))
    return Probe(device)


def describe_device(name: str) -> Device:
    """Return a device with its precision and hardware; for ``cuda:N``, this sets up CUDA."""
    if name.startswith("cuda"):
        gpu = torch.cuda.get_device_properties(name)
        # Tensor cores: of fp16 from Volta (7.0), of bf16 from Ampere (8.0).
        has_fp16 = gpu.major == 7 and not NO_TENSOR_CORES.search(gpu.name)
        precision = "bf16" if gpu.major >= 8 else "fp16" if has_fp16 else "fp32"
        return Device(name, precision, f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    # AVX512-BF16 or AMX: then bf16 matrix products run in hardware.
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return Device(name, "bf16" if name == "cpu" and has_bf16 else "fp32", _processor())


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def graphed(step: Step, capture: Callable[[Step], Step]) -> Iterator[None]:
    """Run a training step for every `next`: the first ones eagerly, later ones as a CUDA graph.

    A step of `narrow` runs more than 300 small kernels, which a graph launches all at once. It
    repeats them on the same memory, with the same numbers from the host: so a step must read from
    tensors whatever changes, and return nothing to the host. A step that cannot be captured always
    runs eagerly. `capture` records a step without running it and returns its replay.
    """
    for _ in range(WARMUP_STEPS):
        step()
        yield
    try:
        step = capture(step)
    except RuntimeError as error:
        reason = first_line(error)
        warn_once("warning: no CUDA graph (%s): training goes on, but more slowly", reason)
    while True:
        step()
        yield


def cuda_capture(step: Step, device: str) -> Step:
    """Record the kernels of a step on a CUDA device and return their replay."""
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # The outer context also leaves the stream after a capture that failed.
    with torch.cuda.stream(stream), torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay
