"""A stand-in for CUDA graphs on the CPU: the operations of a step, recorded and repeated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """The operations that run while it is entered, with their very tensors.

    As in a CUDA graph, tensors keep their memory and numbers of the host keep their values, and
    the host cannot read a value. Unlike there, the recorded operations run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run and record an operation."""
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing\nand so on")
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Run all operations again, into the tensors that they returned at first."""
        for func, args, kwargs, result in self.operations:
            inputs = {storage(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
            again = tree_leaves(func(*args, **kwargs))
            for first, now in zip(tree_leaves(result), again, strict=True):
                if isinstance(first, Tensor) and storage(first) not in inputs:
                    first.copy_(now)


def storage(tensor: Tensor) -> int:
    """Return the address of a tensor's memory, which its views share."""
    return tensor.untyped_storage()._cdata


def capture_on_tape(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step as `cuda_capture` does: it counts as done at the first replay only."""
    tape = Tape()
    with tape:
        step()
    replays = iter([lambda: None])
    return lambda: next(replays, tape.replay)()
