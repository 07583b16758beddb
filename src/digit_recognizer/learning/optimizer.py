"""How the weights move: the optimizer and the course of its learning rate."""

import math
from collections.abc import Callable, Iterable

import torch
from torch.nn import Parameter

from digit_recognizer.learning.recipe import Recipe

WARM_UP = 0.2  # share of one cycle's steps in which the learning rate rises
LAST_SHARE = 1e-3  # what the last epoch's cosine leaves of the learning rate


def new_optimizer(recipe: Recipe, weights: Iterable[Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimizer at its highest learning rate."""
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    betas = (0.9, recipe.beta2)
    return kind(weights, lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=True)


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
