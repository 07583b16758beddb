"""GPUs that are only simulated: their tensors lie in CPU memory and are computed there.

Each tensor's storage is marked with the device on which it would be. An operation on tensors of
two devices fails as on CUDA, and so does `numpy()` of a tensor that is not on the CPU. Each wait
for the device is counted: `item()`, `cpu()`, a branch on a value. The numbers are real: a whole
training runs, and ends with the bytes of the CPU.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from digit_recognizer.training import device as device_module
from digit_recognizer.training.device import probe_here

CPU = torch.device("cpu")
# Functions that make a tensor on the CPU where no device is given.
FACTORIES = (
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.eye, torch.empty_strided),
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.arange, torch.linspace),
    *(torch.tensor, torch.as_tensor, torch.from_numpy),
)
ITEM = torch.ops.aten._local_scalar_dense.default  # item(), float(), bool(), also from C++
DRAW_BETWEEN = getattr(torch.ops.aten.random_, "from")


@dataclass(frozen=True)
class Gpu:
    """What `torch.cuda.get_device_properties` tells of a GPU, and whether it can compute."""

    name: str = "Simulated A100"
    major: int = 8
    minor: int = 0
    total_memory: int = 40 * 2**30
    works: bool = True


def device_of(tensor: Tensor) -> torch.device | None:
    """Return where a tensor would be; None for one that an operator made of no other tensor."""
    return getattr(tensor.untyped_storage(), "simulated_device", None)


def _mark(output: object, device: torch.device) -> None:
    for tensor in tree_leaves(output):
        if isinstance(tensor, Tensor) and device_of(tensor) is None:
            tensor.untyped_storage().simulated_device = device  # type: ignore[attr-defined]


def _numbered(device: Any) -> torch.device:
    found = torch.device(device)
    return found if found.type == "cpu" else torch.device(found.type, found.index or 0)


class SimulatedGpus(TorchFunctionMode):
    """While entered, ``cuda:0``, ``cuda:1``, ... and ``mps`` are there."""

    def __init__(self, *gpus: Gpu) -> None:
        super().__init__()
        self.gpus: Sequence[Gpu] = gpus or (Gpu(), Gpu())
        self.current = ""  # of `torch.cuda.set_device`
        self.waits = 0  # of the host for a device
        self.kernels: Counter[str] = Counter()  # how often each operator ran on a device
        self.destination: torch.device | None = None  # of what is made or copied at this moment
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        autocast, cuda = torch.autocast, torch.cuda
        for target, name, value in (
            (cuda, "is_available", lambda: bool(self.gpus)),
            (cuda, "device_count", lambda: len(self.gpus)),
            (torch.backends.mps, "is_available", lambda: False),  # on a Mac it may be
            (cuda, "get_device_properties", lambda device: self.gpus[_numbered(device).index]),
            (cuda, "set_device", lambda device: setattr(self, "current", device)),
            (cuda, "get_rng_state", lambda device=None: torch.get_rng_state()),
            (cuda, "set_rng_state", lambda state, device=None: torch.set_rng_state(state)),
            (cuda, "manual_seed_all", lambda seed: None),
            (cuda.amp.common, "amp_definitely_not_available", lambda: False),
            # A CUDA build of torch would look for a real GPU in these two.
            (cuda, "CUDAGraph", mock.Mock(side_effect=RuntimeError("GPUs are simulated"))),
            (torch.accelerator, "current_accelerator", lambda check_available=False: None),
            (device_module, "_probe_in_children", lambda names: list(map(probe_here, names))),
            (torch, "autocast", lambda kind, *words, **named: autocast("cpu", *words, **named)),
        ):
            self._stack.enter_context(mock.patch.object(target, name, value))
        self._stack.enter_context(_Kernels(self))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.__exit__(*error)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.to:
            return self._to(*args, **kwargs)
        if kwargs.get("device") is not None:
            if torch.device(kwargs["device"]).type == "meta":
                return func(*args, **kwargs)
            device = _numbered(kwargs["device"])
            return self._make(device, func, args, {**kwargs, "device": CPU})
        if func in FACTORIES:
            return self._make(CPU, func, args, kwargs)
        here = (device_of(args[0]) or CPU) if args and isinstance(args[0], Tensor) else CPU
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return here
        if func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return here.type == "cuda"
        if func is Tensor.cpu:
            return self._to(args[0], CPU)
        if func is Tensor.numpy and here != CPU:
            raise TypeError(f"can't convert {here} device type tensor to numpy")
        return func(*args, **kwargs)

    def _make(self, device: torch.device, func: Any, args: Any, kwargs: Any) -> Any:
        """Call a function whose results are on `device`, wherever its arguments are."""
        before, self.destination = self.destination, device
        try:
            output = func(*args, **kwargs)
        finally:
            self.destination = before
        _mark(output, device)
        return output

    def _to(self, tensor: Tensor, *words: Any, non_blocking: bool = False, **named: Any) -> Tensor:
        """Take a device first, a dtype first, or either by name."""
        words = tuple(word for word in words if word is not None and not isinstance(word, bool))
        if words and isinstance(words[0], str | torch.device):
            named["device"], words = words[0], words[1:]
        device, here = named.pop("device", None), device_of(tensor) or CPU
        if device is not None and _numbered(device) != here:
            self.waits += _numbered(device) == CPU and not non_blocking
            layout = {"memory_format": torch.preserve_format}
            tensor = self._make(_numbered(device), Tensor.clone, (tensor,), layout)
        return tensor.to(*words, **named) if words or named else tensor


class _Kernels(TorchDispatchMode):
    """What runs below autograd: check that all inputs are on one device, and mark the outputs."""

    def __init__(self, gpus: SimulatedGpus) -> None:
        super().__init__()
        self.gpus = gpus

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # As on CUDA, a CPU tensor without dimensions fits every device.
        found = {device_of(x) for x in inputs if x.dim() or device_of(x) != CPU} - {None}
        moves = self.gpus.destination is not None or func is torch.ops.aten.copy_.default
        if len(found) > 1 and not moves:
            names = " and ".join(sorted(map(str, found)))
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}, {names}")
        device = self.gpus.destination or next(iter(found), None)
        if device is not None and device != CPU:
            self._count(func, device, args)
        output = func(*args, **(kwargs or {}))
        if device is not None:
            _mark(output, device)
        return output

    def _count(self, func: Any, device: torch.device, args: Any) -> None:
        if device.type == "cuda" and not self.gpus.gpus[device.index].works:
            raise RuntimeError("CUDA error: no kernel image is available for execution\nMore lines")
        if device.type == "mps" and func is DRAW_BETWEEN and args[2] is None:
            raise RuntimeError("random_mps_ currently does not handle the lowest() -> max() range")
        self.gpus.kernels[str(func)] += 1
        self.gpus.waits += func is ITEM
