from collections.abc import Iterable

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
    update_bn,
)
from digit_recognizer.training.recipe import RECIPES, SCHEDULES, Recipe


def test_one_cycle_rises_and_ends_at_zero() -> None:
    values = [one_cycle(step / 1000) for step in range(1001)]
    assert max(values) == pytest.approx(1.0)
    assert values[0] == pytest.approx(0.05)
    assert values[-1] == pytest.approx(0.0)


@given(st.sampled_from(SCHEDULES), st.integers(1, 30), st.integers(1, 20), st.floats(0.01, 1))
def test_no_schedule_leaves_the_range_from_zero_to_the_highest_rate(
    schedule: str, epochs: int, steps: int, lr_decay: float
) -> None:
    factor = lr_lambda(Recipe(schedule=schedule, epochs=epochs, lr_decay=lr_decay), steps)
    values = [factor(step) for step in range(epochs * steps + 1)]
    assert all(0 <= value <= 1 for value in values)
    if schedule != "one-cycle":
        assert values == sorted(values, reverse=True)


def test_schedules_of_other_people_fall_as_they_state() -> None:
    deotte, matuzas77 = (lr_lambda(RECIPES[name], 10) for name in ("deotte", "matuzas77"))
    assert {deotte(step) for step in range(10)} == {1.0}
    assert {deotte(step) for step in range(20, 30)} == {0.95**2}
    baranarca = lr_lambda(RECIPES["baranarca-vgg"], 10)
    assert [baranarca(10 * epoch) for epoch in (0, 10, 15)] == pytest.approx([1, 0.75, 0.5])
    assert baranarca(150) == baranarca(159)
    by_epoch = [matuzas77(10 * epoch + 9) for epoch in range(20)]
    assert by_epoch == pytest.approx([1.0] * 13 + [0.1] * 3 + [0.01] * 4)
    ttdoucet = lr_lambda(RECIPES["ttdoucet"], 100)
    factors = [ttdoucet(step) for step in (500, 1000, 1050, 1100)]
    assert factors == pytest.approx([0.1**0.5, 0.1, 0.05, 1e-4], rel=0.01)


def optimizers_of(
    recipe: Recipe, parameters: Iterable[torch.nn.Parameter]
) -> list[torch.optim.Optimizer]:
    return build_optimizers(recipe, parameters, torch.tensor(recipe.lr, dtype=lr_dtype("cpu")))


@pytest.mark.parametrize(
    ("optimizer", "expected"), [("adam", 0.9), ("adamw", 0.95), ("muon", 0.95)]
)
def test_weight_decay_is_a_penalty_in_adam_and_apart_from_the_gradient_in_others(
    optimizer: str, expected: float
) -> None:
    """Without a gradient, Adam takes its first step of lr along the penalty's own."""
    bias, kernel = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(4, 4, 1, 1))
    kernel.grad = torch.zeros_like(kernel)
    recipe = Recipe(optimizer=optimizer, lr=0.1, weight_decay=0.5)
    *_, of_the_kernel = optimizers_of(recipe, [bias, kernel])
    of_the_kernel.step()
    torch.testing.assert_close(kernel.detach(), torch.full_like(kernel, expected))


def test_beta2_is_adams() -> None:
    [optimizer] = optimizers_of(Recipe(beta2=0.5), [torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["betas"] == (0.9, 0.5)


def test_muon_moves_the_kernels_of_inner_convolutions_and_adamw_the_rest() -> None:
    network = NETWORKS["plain"]()
    adamw, muon = optimizers_of(RECIPES["default"], network.parameters())
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    inner = {id(layer.weight) for layer in convolutions[1:]}
    assert isinstance(muon, Muon)
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == inner
    others = {id(weight) for weight in network.parameters()} - inner
    assert {id(weight) for weight in adamw.param_groups[0]["params"]} == others
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


@pytest.mark.parametrize("network", ["pooled", "plain", "residual", "mnist-m3"])
def test_matrices_come_out_of_a_batch_as_they_do_one_by_one(network: str) -> None:
    """Up to rounding: some CPUs add up a small matrix in another order once it is padded."""
    generator = torch.Generator().manual_seed(0)
    shapes = [p.flatten(1).shape for p in NETWORKS[network]().parameters() if p.ndim == 4]
    matrices = [torch.randn(shape, generator=generator) for shape in (*shapes[1:], (40, 3))]
    for matrix, batched in zip(matrices, orthogonalize_batch(matrices), strict=True):
        torch.testing.assert_close(batched, orthogonalize(matrix), rtol=0, atol=1e-5)


def step_of_muon(kernel: torch.nn.Parameter, recipe: Recipe, *gradients: torch.Tensor) -> None:
    _, muon = optimizers_of(recipe, [torch.nn.Parameter(torch.zeros(1)), kernel])
    for gradient in gradients:
        kernel.grad = gradient.reshape(kernel.shape)
        muon.step()


def test_a_step_of_muon_is_about_as_long_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    kernel, gradient = torch.nn.Parameter(torch.zeros(16, 8, 3, 3)), torch.randn(16, 8, 3, 3)
    step_of_muon(kernel, Recipe(lr=0.1, weight_decay=0.0), gradient * 1e-4)
    length = kernel.detach().square().mean().sqrt().item()
    assert length == pytest.approx(0.2 * 0.1, rel=0.2)
    assert (kernel.detach() * gradient).sum() < 0


def test_muon_goes_on_where_earlier_gradients_pointed() -> None:
    once, twice = (torch.nn.Parameter(torch.zeros(4, 4, 1, 1)) for _ in range(2))
    gradients = (100 * torch.eye(4), -torch.eye(4))
    step_of_muon(once, Recipe(), gradients[0])
    step_of_muon(twice, Recipe(), *gradients)
    assert ((twice - once).flatten(1).diagonal() < 0).all()


def test_kernels_alone_are_left_to_adam_which_refuses_to_have_nothing() -> None:
    (adam,) = optimizers_of(Recipe(), [torch.nn.Parameter(torch.ones(4, 3, 3, 3))])
    assert isinstance(adam, torch.optim.AdamW)


def test_averaging_forgets_the_random_start() -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 100.0)
    average = EMA(network)
    average.update(network, torch.tensor(ema_weight(0, 0.998)))
    torch.nn.init.zeros_(network.weight)
    for step in range(1, 201):
        average.update(network, torch.tensor(ema_weight(step, 0.998)))
    assert 0 < average.network.weight.item() < 1e-3


class Twice(torch.nn.Module):
    """A network that calls its only layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.norm(x), self.norm(10 * x)])


def test_statistics_are_the_mean_over_all_calls_of_a_layer() -> None:
    network = Twice()
    update_bn(network, [torch.full((4, 1), 1.0), torch.full((4, 1), 3.0)])
    assert network.norm.running_mean.item() == pytest.approx((1 + 10 + 3 + 30) / 4)
