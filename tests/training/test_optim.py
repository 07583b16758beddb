from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.training.models import NETWORKS
from digit_recognizer.training.optim import (
    EMA,
    Muon,
    build_optimizers,
    ema_weight,
    lr_dtype,
    lr_lambda,
    one_cycle,
    orthogonalize,
    orthogonalize_batch,
)
from digit_recognizer.training.recipe import RECIPES, SCHEDULES, Recipe


def test_one_cycle_rises_and_ends_at_zero() -> None:
    values = [one_cycle(step / 1000) for step in range(1001)]
    assert max(values) == pytest.approx(1.0)
    assert values[0] == pytest.approx(0.05)
    assert values[-1] == pytest.approx(0.0)


@given(
    st.sampled_from(SCHEDULES), st.integers(1, 30), st.integers(1, 20), st.floats(0.01, 1)
)  # fmt: skip
def test_no_schedule_leaves_the_range_from_zero_to_the_highest_rate(
    schedule: str, epochs: int, steps: int, lr_decay: float
) -> None:
    factor = lr_lambda(Recipe(schedule=schedule, epochs=epochs, lr_decay=lr_decay), steps)
    values = [factor(step) for step in range(epochs * steps + 1)]
    assert all(0 <= value <= 1 for value in values)
    if schedule != "one-cycle":
        assert values == sorted(values, reverse=True)


def test_an_exponential_schedule_falls_once_an_epoch() -> None:
    factor = lr_lambda(RECIPES["deotte"], 10)
    assert {factor(step) for step in range(10)} == {1.0}
    assert {factor(step) for step in range(20, 30)} == {0.95**2}


def test_the_rate_of_steps_falls_to_a_tenth_after_13_and_16_of_20_epochs() -> None:
    factor = lr_lambda(RECIPES["matuzas77"], 10)
    by_epoch = [factor(10 * epoch + 9) for epoch in range(20)]
    assert by_epoch == pytest.approx([1.0] * 13 + [0.1] * 3 + [0.01] * 4)


def test_the_committee_schedule_falls_to_a_tenth_and_then_to_a_thousandth_of_that() -> None:
    factor = lr_lambda(RECIPES["ttdoucet"], 100)
    assert factor(500) == pytest.approx(0.1**0.5)
    assert factor(1000) == pytest.approx(0.1)
    assert factor(1050) == pytest.approx(0.05, rel=0.01)
    assert factor(1100) == pytest.approx(1e-4)


def optimizers_of(
    recipe: Recipe, parameters: Iterable[torch.nn.Parameter]
) -> list[torch.optim.Optimizer]:
    return build_optimizers(recipe, parameters, torch.tensor(recipe.lr, dtype=lr_dtype("cpu")))


def weight_after_a_step(recipe: Recipe, gradient: float) -> float:
    weight = torch.nn.Parameter(torch.ones(1))
    [optimizer] = optimizers_of(recipe, [weight])
    weight.grad = torch.full((1,), gradient)
    optimizer.step()
    return weight.item()


def test_weight_decay_is_a_penalty_in_adam_and_apart_from_the_gradient_in_adamw() -> None:
    recipe = replace(RECIPES["default"], lr=0.1, weight_decay=0.5)
    # Without a gradient, Adam takes its first step of lr along the penalty's own.
    assert weight_after_a_step(replace(recipe, optimizer="adam"), 0.0) == pytest.approx(0.9)
    assert weight_after_a_step(replace(recipe, optimizer="adamw"), 0.0) == pytest.approx(0.95)
    plain = replace(recipe, weight_decay=0.0)
    for kind in ("adam", "adamw"):
        assert weight_after_a_step(replace(plain, optimizer=kind), 3.0) == pytest.approx(0.9)


def test_beta2_is_how_long_large_gradients_are_remembered() -> None:
    def second_step(beta2: float) -> float:
        weight = torch.nn.Parameter(torch.zeros(1))
        [optimizer] = optimizers_of(Recipe(lr=0.1, beta2=beta2, weight_decay=0.0), [weight])
        for gradient in (100.0, 0.1):
            before = weight.item()
            weight.grad = torch.full((1,), gradient)
            optimizer.step()
        return abs(weight.item() - before)

    assert second_step(0.5) > second_step(0.999)


def test_muon_moves_the_kernels_of_inner_convolutions_and_adamw_the_rest() -> None:
    network = NETWORKS["plain"]()
    adamw, muon = optimizers_of(RECIPES["default"], network.parameters())
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    inner = {id(layer.weight) for layer in convolutions[1:]}
    assert isinstance(muon, Muon)
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == inner
    others = {id(weight) for weight in network.parameters()} - inner
    assert {id(weight) for weight in adamw.param_groups[0]["params"]} == others


def test_a_network_without_inner_convolutions_is_left_to_adamw() -> None:
    [optimizer] = optimizers_of(RECIPES["default"], NETWORKS["mlp"]().parameters())
    assert isinstance(optimizer, torch.optim.AdamW)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.floats(1e-3, 1e3))
def test_an_orthogonal_matrix_has_the_same_directions_and_singular_values_near_one(
    rows: int, columns: int, seed: int, scale: float
) -> None:
    matrix = scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    after = torch.diagonal(left.T @ orthogonalize(matrix) @ right.T)
    large = values > 1e-2 * matrix.norm()
    assert ((after > 0.67) & (after < 1.21))[large].all()
    torch.testing.assert_close(left * after @ right, orthogonalize(matrix), atol=1e-3, rtol=0)


@pytest.mark.parametrize("network", ["narrow", "plain", "residual", "mnist-m3"])
def test_matrices_come_out_of_a_batch_as_they_do_one_by_one(network: str) -> None:
    """Bit for bit on a CPU: padding with zeros adds zeros to sums, at their end."""
    generator = torch.Generator().manual_seed(0)
    shapes = [p.flatten(1).shape for p in NETWORKS[network]().parameters() if p.ndim == 4]
    matrices = [torch.randn(shape, generator=generator) for shape in (*shapes[1:], (40, 3))]
    for matrix, batched in zip(matrices, orthogonalize_batch(matrices), strict=True):
        assert torch.equal(batched, orthogonalize(matrix))


def muon_of(kernel: torch.nn.Parameter, recipe: Recipe) -> torch.optim.Optimizer:
    return optimizers_of(recipe, [torch.nn.Parameter(torch.zeros(1)), kernel])[1]


def test_a_step_of_muon_is_about_as_long_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.zeros(16, 8, 3, 3))
    recipe = Recipe(lr=0.1, weight_decay=0.0)
    muon = muon_of(kernel, recipe)
    kernel.grad = torch.randn(kernel.shape) * 1e-4
    muon.step()
    length = kernel.detach().square().mean().sqrt().item()
    assert length == pytest.approx(0.2 * recipe.lr, rel=0.2)
    assert (kernel.detach() * kernel.grad).sum() < 0


def test_weight_decay_is_apart_from_the_gradient_in_muon_too() -> None:
    kernel = torch.nn.Parameter(torch.ones(4, 4, 1, 1))
    recipe = Recipe(lr=0.1, weight_decay=0.5)
    muon = muon_of(kernel, recipe)
    kernel.grad = torch.zeros_like(kernel)
    muon.step()
    torch.testing.assert_close(kernel.detach(), torch.full_like(kernel, 0.95))


def test_muon_goes_on_where_earlier_gradients_pointed() -> None:
    kernel = torch.nn.Parameter(torch.zeros(4, 4, 1, 1))
    muon = muon_of(kernel, Recipe())
    for gradient in (100 * torch.eye(4), -torch.eye(4)):
        before = kernel.detach().clone()
        kernel.grad = gradient.view(4, 4, 1, 1)
        muon.step()
    assert ((kernel - before).diagonal() < 0).all()


def test_averaging_forgets_the_random_start() -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 100.0)
    average = EMA(network)
    average.update(network, torch.tensor(ema_weight(0, 0.998)))
    torch.nn.init.zeros_(network.weight)
    for step in range(1, 201):
        average.update(network, torch.tensor(ema_weight(step, 0.998)))
    assert 0 < average.network.weight.item() < 1e-3
