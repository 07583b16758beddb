"""A captured step does what the step does, and what it would freeze is noticed."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from support.tape import capture_on_tape

from digit_recognizer.data.competition import Dataset
from digit_recognizer.training.device import Device
from digit_recognizer.training.graph import WARMUP_STEPS, Step, graphed
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import _Trainer

RECIPE = Recipe(n_splits=2, epochs=2, batch_size=4, rotation=0, zoom=0, shift=0, shear=0, elastic=0)
N_STEPS = 10  # 3 before the capture, 7 after it, in two epochs


def trained(
    recipe: Recipe,
    capture: Callable[[Step], Step] | None = None,
    spoil: Callable[[_Trainer], Step] = lambda trainer: trainer._step,
) -> dict[str, torch.Tensor]:
    """Weights, averaged weights and mean losses of a training whose steps may be captured."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    rows = Dataset(images, np.arange(40) % 10, images[:1])
    trainer = _Trainer(recipe, rows, Member(0, 0), Device("cpu", "fp32"))
    trainer.step = spoil(trainer)
    if capture:
        trainer.step = partial(next, graphed(trainer.step, capture))
    history = [trainer.run_epoch(epoch) for epoch in (1, 2)]
    assert 2 * trainer.steps_per_epoch == N_STEPS
    values = {f"last {name}": value for name, value in trainer.network.state_dict().items()}
    losses = torch.tensor([[m.train_loss, m.train_accuracy, m.val_loss] for m in history])
    return {**values, **trainer.predictor.state_dict(), "losses": losses}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("network", ["narrow", "plain", "residual"])
def test_replayed_steps_train_as_steps_do_bit_for_bit(network: str) -> None:
    """With dropout, Muon, AdamW, a schedule, averaged weights, and images that change."""
    recipe = replace(RECIPE, network=network)
    assert same(trained(recipe), trained(recipe, capture_on_tape))


def rate_from_the_host(trainer: _Trainer) -> Step:
    """Let every step have a rate of its own, as a number."""
    [adamw] = trainer.optimizers
    steps = count(1)

    def step() -> None:
        adamw.param_groups[0]["lr"] = 1e-2 / next(steps)
        trainer._step()

    return step


def test_a_rate_from_the_host_would_be_frozen() -> None:
    recipe = replace(RECIPE, network="residual", optimizer="adamw")
    eager = trained(recipe, spoil=rate_from_the_host)
    assert not same(eager, trained(recipe, capture_on_tape, rate_from_the_host))


def loss_read_by_the_host(trainer: _Trainer) -> Step:
    def step() -> None:
        trainer._loss_sum.item()
        trainer._step()

    return step


def test_a_step_that_reads_a_value_back_cannot_be_captured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained(RECIPE, capture_on_tape, loss_read_by_the_host)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def refuse(step: Step) -> Step:
    raise RuntimeError("CUDA error: operation not permitted\nCUDA kernel errors might be ...")


def test_training_goes_on_without_a_graph_after_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert same(trained(RECIPE), trained(RECIPE, refuse))
    assert caplog.messages == [
        "no CUDA graph (CUDA error: operation not permitted): training goes on without it,"
        " more slowly"
    ]


def test_steps_run_as_they_are_until_the_capture() -> None:
    done: list[str] = []

    def capture(step: Step) -> Step:
        done.append("captured")
        return lambda: done.append("replayed")

    steps = graphed(lambda: done.append("run"), capture)
    for _ in range(WARMUP_STEPS + 2):
        next(steps)
    assert done == [*["run"] * WARMUP_STEPS, "captured", "replayed", "replayed"]
