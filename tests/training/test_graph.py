"""A captured step does what the step does, and what it would freeze is noticed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from support.small import UNDISTORTED, noise_rows
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from digit_recognizer.training.device import Device, Step, graphed, warn_once
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import _Trainer

RECIPE = Recipe(n_splits=2, epochs=2, batch_size=4, **UNDISTORTED)
N_STEPS = 10  # 3 before the capture, 7 after it, in two epochs


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


def trained(recipe: Recipe, capture: Callable[[Step], Step] | None = None) -> dict[str, bytes]:
    """Weights, averaged weights and mean losses of a training whose steps may be captured."""
    trainer = _Trainer(recipe, noise_rows(40), Member(0, 0), Device("cpu", "fp32"))
    if capture:
        trainer._run_step = partial(next, graphed(trainer._run_step, capture))
    history = [trainer.run_epoch(epoch) for epoch in (1, 2)]
    assert 2 * trainer.steps_per_epoch == N_STEPS
    values = {f"last {name}": value for name, value in trainer.network.state_dict().items()}
    losses = torch.tensor([[m.train_loss, m.train_accuracy, m.val_loss] for m in history])
    values |= {**trainer.predictor.state_dict(), "losses": losses}
    return {name: value.numpy().tobytes() for name, value in values.items()}


@pytest.mark.parametrize("network", ["pooled", "plain", "residual"])
def test_replayed_steps_train_as_steps_do_bit_for_bit(network: str) -> None:
    """With dropout, Muon, AdamW, a schedule, averaged weights, and images that change."""
    recipe = replace(RECIPE, network=network)
    assert trained(recipe) == trained(recipe, capture_on_tape)


def test_training_goes_on_without_a_graph_where_a_step_cannot_be_captured(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is, step = trained(RECIPE), _Trainer._step

    def step_that_reads_a_value(trainer: _Trainer) -> None:
        trainer._loss_sum.item()
        step(trainer)

    monkeypatch.setattr(_Trainer, "_step", step_that_reads_a_value)
    warn_once.cache_clear()
    for _ in range(2):  # members of one process
        assert as_it_is == trained(RECIPE, capture_on_tape)
    assert caplog.messages == [
        "warning: no CUDA graph (operation not permitted when stream is capturing): training goes"
        " on, but more slowly"
    ]
