"""Optimizers, learning-rate schedules and averaged weights."""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from digit_recognizer.training.recipe import Recipe

WARMUP_FRACTION = 0.2  # of one-cycle's steps, in which the learning rate rises
FINAL_LR_FRACTION = 1e-3  # of the learning rate, at the end of exponential-cosine's cosine
LR_STEPS = (0.65, 0.8)  # of the epochs of "steps", after which the rate falls to a tenth
MOMENTUM = 0.9  # of muon, per step
EPS = 1e-7  # against a division by zero
UPDATE_RMS = 0.2  # of Muon's steps, as of AdamW's, in units of the learning rate


class EMA:
    """An exponential moving average (EMA) of a network's weights, as a network of its own.

    Buffers are not averaged: for BatchNorm's, see `update_bn`. Unlike in torch's AveragedModel, the
    weight of a step is a tensor, so that no step synchronizes with a GPU.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network)
        self._ones = [torch.ones_like(average) for average in self.network.parameters()]

    @torch.no_grad()
    def update(self, network: nn.Module, weight: Tensor) -> None:
        """Move the average by `weight`, 0 to 1, towards `network`; 1 copies it."""
        averages, values = tuple(self.network.parameters()), tuple(network.parameters())
        weights: tuple[Tensor, ...] = (weight,) * len(values)
        if weight.is_cuda:  # full-size weights need two launches instead of one per parameter
            weights = torch._foreach_mul(self._ones, weight)
        torch._foreach_lerp_(averages, values, weights)


def ema_weight(step: int, decay: float) -> float:
    """Return how far the average moves in `step`, counted from 0; in the first step all the way.

    The decay is smaller in the first steps: at a constant 0.998 the random initial weights would
    still make up a tenth of the average after 1,150 steps, and short runs have fewer.
    """
    return 1 - min(decay, (1 + step) / (10 + step)) if step else 1.0


@torch.no_grad()
def update_bn(network: nn.Module, batches: Sequence[Tensor]) -> None:
    """Recompute a network's BatchNorm statistics, as means over `batches` of images.

    With averaged weights the activations differ from those of every network in training. Images
    and the other layers are as at prediction, not augmented and without dropout: 159 errors in
    42,000 held-out rows, against 162 with augmented images and dropout as in training. Batches,
    of prepared images [B, 1, 28, 28] each, all weigh the same.
    """
    network.eval()
    norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    calls: Counter[_BatchNorm] = Counter()

    def weigh(layer: _BatchNorm, _: object) -> None:
        # The mean over all calls. momentum=None does the same, but reads num_batches_tracked from
        # the GPU, which synchronizes.
        calls[layer] += 1
        layer.momentum = 1 / calls[layer]

    for layer in norms:
        layer.reset_running_stats()
        layer.train()
    hooks = [layer.register_forward_pre_hook(weigh) for layer in norms]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    network.eval()


def build_optimizers(
    recipe: Recipe, parameters: Iterable[Parameter], lr: Tensor
) -> list[torch.optim.Optimizer]:
    """Return the recipe's optimizers; each parameter is in one.

    With ``muon``, Muon updates the kernels of convolutions with several channels in, and AdamW the
    rest: the first layer, depthwise ones, the last, biases and norms. `lr` is a scalar of
    `lr_dtype`, on the parameters' device; every step reads it anew.
    """
    kernels: list[Parameter] = []
    rest: list[Parameter] = []
    for parameter in parameters:
        inner = recipe.optimizer == "muon" and parameter.ndim == 4 and parameter.shape[1] > 1
        (kernels if inner else rest).append(parameter)
    if not rest:  # Adam refuses an empty list
        kernels, rest = rest, kernels
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    options = {"fused": True, "capturable": lr.is_cuda}  # as a CUDA graph: see `graphed`
    adam = kind(rest, lr=lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay, **options)
    # The first steps run without a graph on purpose, of which torch would warn.
    adam._warned_capturable_if_run_uncaptured = True
    return [adam, Muon(kernels, lr, recipe.weight_decay)] if kernels else [adam]


def lr_dtype(device: str) -> torch.dtype:
    """Return the type of a learning rate on `device`: fused Adam on a GPU takes float32 only."""
    return torch.float64 if device == "cpu" else torch.float32


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalized steps, which move all directions of a kernel alike.

    After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/); a kernel is a matrix
    [channels out, channels in x height x width]. Steps are as long as AdamW's, so that one
    learning rate and weight decay suit both (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(self, kernels: Sequence[Parameter], lr: Tensor, weight_decay: float) -> None:
        super().__init__(kernels, {"lr": lr, "weight_decay": weight_decay})
        for kernel in kernels:
            self.state[kernel]["momentum_buffer"] = torch.zeros_like(kernel)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every kernel."""
        [group] = self.param_groups
        # A kernel that is frozen, or that the forward pass does not use, has no gradient.
        kernels = [kernel for kernel in group["params"] if kernel.grad is not None]
        if not kernels:
            return
        lr, updates = group["lr"], self._updates(kernels)
        torch._foreach_mul_(kernels, 1 - lr * group["weight_decay"])
        for kernel, update in zip(kernels, updates, strict=True):
            rows = kernel.permute(0, 2, 3, 1)
            rows.addcmul_(update.reshape(rows.shape), lr, value=-1)

    def _updates(self, kernels: list[Parameter]) -> list[Tensor]:
        gradients: list[Any] = [kernel.grad for kernel in kernels]
        buffers = [self.state[kernel]["momentum_buffer"] for kernel in kernels]
        torch._foreach_lerp_(buffers, gradients, 1 - MOMENTUM)
        nesterov = torch._foreach_lerp(gradients, buffers, MOMENTUM)
        matrices = [gradient.permute(0, 2, 3, 1).flatten(1) for gradient in nesterov]
        # A GPU's time is that of kernel launches, so one batch; a CPU takes 1.7 times as long for it.
        batched = matrices[0].is_cuda
        updates = orthogonalize_batch(matrices) if batched else [*map(orthogonalize, matrices)]
        torch._foreach_mul_(updates, [UPDATE_RMS * math.sqrt(max(x.shape)) for x in matrices])
        return updates


def orthogonalize_batch(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return `orthogonalize` of every matrix, from all Gram matrices at once, padded with zeros."""
    wide = [_wide(matrix) for matrix in matrices]
    norms = torch._foreach_norm(wide)
    torch._foreach_add_(norms, EPS)
    wide = list(torch._foreach_div(wide, norms))
    size = max(len(x) for x in wide)
    products = _newton_schulz(torch.stack([F.pad(x @ x.T, (0, size - len(x)) * 2) for x in wide]))
    wide = [product[: len(x), : len(x)] @ x for product, x in zip(products, wide, strict=True)]
    return [x.T if len(x) < len(m) else x for x, m in zip(wide, matrices, strict=True)]


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return nearly the closest orthogonal matrix [M, N], of singular values from 0.67 to 1.21.

    Five steps of Jordan's Newton-Schulz iteration, x -> (3.4445 - 4.7750 g + 2.0315 g g) x with
    g = x x'. All factors are polynomials of the first g, a small square matrix, so they are
    multiplied with each other first and with x once, which is less work. Singular values below
    0.0015 of the matrix's norm end smaller.
    """
    x = _wide(matrix)
    x = x.div(x.norm() + EPS)
    x = _newton_schulz(x @ x.T) @ x
    return x.T if len(x) < len(matrix) else x


def _wide(matrix: Tensor) -> Tensor:
    """Return the matrix or its transpose, whichever has the smaller Gram matrix."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _newton_schulz(gram: Tensor) -> Tensor:
    """Return the product of the five factors, from Gram matrices [N, N] or [K, N, N]."""
    product = factor = _newton_schulz_factor(gram)
    for _ in range(4):
        gram = factor @ (factor @ gram)
        factor = _newton_schulz_factor(gram)
        product = factor @ product
    return product


def _newton_schulz_factor(gram: Tensor) -> Tensor:
    add_product = torch.addmm if gram.ndim == 2 else torch.baddbmm
    factor: Tensor = add_product(gram, gram, gram, beta=-4.7750, alpha=2.0315)
    factor.diagonal(dim1=-2, dim2=-1).add_(3.4445)
    return factor


def lr_lambda(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the function from a step, counted from 0, to the factor of the learning rate."""

    def factor(step: int) -> float:
        match recipe.schedule:
            case "one-cycle":
                return one_cycle(step / (steps_per_epoch * recipe.epochs))
            case "cosine":
                return half_cosine(step // steps_per_epoch / recipe.epochs)
            case "exponential":
                return float(recipe.lr_decay ** (step // steps_per_epoch))
            case "exponential-cosine":
                return exponential_cosine(step / steps_per_epoch, recipe)
            case "steps":
                progress = step // steps_per_epoch / recipe.epochs
                return float(0.1 ** sum(progress >= fall for fall in LR_STEPS))
        return 1.0  # constant

    return factor


def one_cycle(progress: float) -> float:
    """Return the factor at `progress`, 0 to 1: a linear rise, then half a cosine down to zero.

    After Smith & Topin 2017 (arXiv:1708.07120), without the momentum cycle.
    """
    if progress < WARMUP_FRACTION:
        return 0.05 + 0.95 * progress / WARMUP_FRACTION
    return half_cosine(min(1.0, (progress - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)))


def half_cosine(progress: float) -> float:
    """Return the factor at `progress`, 0 to 1, of a fall from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def exponential_cosine(epoch: float, recipe: Recipe) -> float:
    """Return the factor at `epoch`: exponential decay, and in the last epoch a cosine.

    The cosine falls to `FINAL_LR_FRACTION`. After ttdoucet's MNIST networks
    (https://github.com/ttdoucet/mnist).
    """
    before = recipe.epochs - 1
    last = min(1.0, max(0.0, epoch - before))  # progress through the last epoch
    down = FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * half_cosine(last)
    return float(recipe.lr_decay ** min(epoch, before) * down)
