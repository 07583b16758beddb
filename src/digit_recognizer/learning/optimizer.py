"""How the weights move: the optimizer and the course of its learning rate."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from digit_recognizer.learning.recipe import Recipe

WARM_UP = 0.2  # share of one cycle's steps in which the learning rate rises
LAST_SHARE = 1e-3  # what the last epoch's cosine leaves of the learning rate
MOMENTUM = 0.9  # of muon, per step
ADAM_RMS = 0.2  # root mean square of a step of AdamW, in units of the learning rate


def new_optimizers(recipe: Recipe, weights: Iterable[Parameter]) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers, each at its highest learning rate; a weight belongs to one.

    With ``muon``, that moves the kernels of all convolutions but the first, and AdamW the rest:
    the first layer, the last, biases and norms.
    """
    kernels: list[Parameter] = []
    rest: list[Parameter] = []
    for weight in weights:
        inner = recipe.optimizer == "muon" and weight.ndim == 4 and weight.shape[1] > 1
        (kernels if inner else rest).append(weight)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    betas = (0.9, recipe.beta2)
    adam = kind(rest, lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=True)
    return [adam, Muon(kernels, recipe.lr, recipe.weight_decay)] if kernels else [adam]


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is made orthogonal: all directions of a kernel move alike.

    After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), a kernel being a matrix
    [channels out, channels in x height x width]. Steps are as long as AdamW's, so that they share
    a learning rate and weight decay (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(self, kernels: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(kernels, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every kernel that has a gradient."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is not None:
                    kernel.mul_(1 - group["lr"] * group["weight_decay"])
                    kernel.sub_(self._direction(kernel), alpha=group["lr"])

    def _direction(self, kernel: Parameter) -> Tensor:
        gradient = kernel.grad
        assert gradient is not None
        state = self.state[kernel]
        if not state:
            state["mean"] = torch.zeros_like(gradient)
        mean = state["mean"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(mean, MOMENTUM).flatten(1)  # Nesterov's look ahead
        length = ADAM_RMS * math.sqrt(max(ahead.shape))
        return orthogonal(ahead).mul_(length).reshape(kernel.shape)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the closest matrix [M, N] to one [M, N] with all singular values 1: 0.67 to 1.21.

    Five steps of Jordan's Newton-Schulz iteration, x -> (3.4445 - 4.7750 g + 2.0315 g g) x with
    g = x x'. All factors are polynomials of the first g, a small square matrix, so that they are
    multiplied with each other first, and with x once: less work. Singular values of less than
    0.0015 of the whole matrix's norm end smaller.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # a wide one has a small g
    x = x.div(x.norm() + 1e-7)
    gram = x @ x.T
    product = factor = _newton_schulz_factor(gram)
    for _ in range(4):
        gram = factor @ (factor @ gram)
        factor = _newton_schulz_factor(gram)
        product = factor @ product
    x = product @ x
    return x.T if len(x) < len(matrix) else x


def _newton_schulz_factor(gram: Tensor) -> Tensor:
    factor: Tensor = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
    factor.diagonal().add_(3.4445)
    return factor


def lr_share(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """The share of the highest learning rate at each step, from 0.

    Parameters
    ----------
    steps : optimizer steps in an epoch
    """
    courses: dict[str, Callable[[int], float]] = {
        "one-cycle": lambda step: one_cycle(step / (steps * recipe.epochs)),
        "constant": lambda step: 1.0,
        "exponential": lambda step: recipe.lr_decay ** (step // steps),
        "exponential-cosine": lambda step: exponential_cosine(
            step / steps, recipe.epochs, recipe.lr_decay
        ),
    }
    return courses[recipe.schedule]


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine down to zero.

    After Smith & Topin 2017 (arXiv:1708.07120), without the momentum cycle.
    """
    if progress < WARM_UP:
        return 0.05 + 0.95 * progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def exponential_cosine(epoch: float, epochs: int, decay: float) -> float:
    """A smooth exponential fall, and in the last epoch half a cosine from there almost to zero.

    After ttdoucet's MNIST networks (https://github.com/ttdoucet/mnist).
    """
    last = min(1.0, max(0.0, epoch - (epochs - 1)))  # progress through the last epoch
    down = LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * last))
    return float(decay ** min(epoch, epochs - 1) * down)
