"""This project's networks, from images [B, 1, 28, 28] to logits [B, 10]; for others see `zoo`."""

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from digit_recognizer.errors import RecipeError
from digit_recognizer.training.device import NO_MEMORY, Device, out_of_memory_as
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.zoo import ZOO, PreNormBlock, ResidualBlock, pre_norm_blocks


def conv_norm_relu(channels_in: int, channels_out: int, kernel: int, stride: int = 2) -> nn.Module:
    """Return a convolution, BatchNorm and ReLU; at stride 2, padded to halve height and width."""
    padding = kernel // 2 if stride == 2 else 0
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


class ByteDropout(nn.Module):
    """Dropout that draws one byte per value: on a CPU it takes 5 % of a step, torch's takes 15 %.

    The rate is a multiple of 1/256.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of `x`, of any shape, in training mode only."""
        if not self.training:
            return x
        # In the memory layout of x: channels-last tensors stay so.
        drawn = torch.as_strided(_random_bytes(x.numel(), x.device), x.shape, x.stride())
        kept = drawn >= self.dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - self.dropped))


def _random_bytes(n: int, device: torch.device) -> Tensor:
    """Return at least `n` bytes [N] uint8, drawn eight at a time where the device can."""
    if device.type == "mps":  # it refuses the range of 64 bits
        return torch.randint(256, (n,), dtype=torch.uint8, device=device)
    words = torch.empty(n // 8 + 1, dtype=torch.int64, device=device)
    return words.random_(-(2**63), None).view(torch.uint8)


def residual() -> nn.Module:
    """Return a small residual network: 28x28 -> 14x14 -> 7x7 -> 4x4, one block at each size.

    The stem halves the image: this costs little accuracy and saves most of the work.
    """
    return nn.Sequential(
        conv_norm_relu(1, 32, 5),  # [B, 32, 14, 14]
        ResidualBlock(32, 32),
        conv_norm_relu(32, 64, 3),  # [B, 64, 7, 7]
        ResidualBlock(64, 64),
        conv_norm_relu(64, 128, 3),  # [B, 128, 4, 4]
        ResidualBlock(128, 128),
        *_mean_and_linear(128),
    )


def plain() -> nn.Module:
    """Return Deotte's network (see `zoo`), one convolution shorter, with BatchNorm before ReLU.

    It sees the middle 26x26 pixels, and its dropout is 0.2 instead of 0.4. The first layer, whose
    output is by far the largest, has half of his channels: as good, and a third faster.
    """
    return nn.Sequential(
        nn.ZeroPad2d(-1),  # [B, 1, 26, 26]
        conv_norm_relu(1, 16, 3, stride=1),  # [B, 16, 24, 24]
        conv_norm_relu(16, 32, 5),  # [B, 32, 12, 12]
        ByteDropout(0.2),
        conv_norm_relu(32, 64, 3, stride=1),
        conv_norm_relu(64, 64, 3, stride=1),  # [B, 64, 8, 8]
        conv_norm_relu(64, 64, 5),  # [B, 64, 4, 4]
        ByteDropout(0.2),
        conv_norm_relu(64, 128, 4, stride=1),  # [B, 128, 1, 1]
        nn.Flatten(),
        ByteDropout(0.2),
        nn.Linear(128, 10),
    )


def pooled(last_width: int = 128) -> nn.Module:
    """Return `narrow` twice as wide, but pooled before its first block, with `last_width` at last.

    The blocks that it lacks, at 24x24 pixels and of 256 channels, take half of the time of `wide`.
    """
    return nn.Sequential(
        nn.ZeroPad2d(-2),  # [B, 1, 24, 24]
        nn.Conv2d(1, 64, 5, padding=2),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
        *pre_norm_blocks(64, 128, last_width, skip_norm=True),  # [B, last_width, 3, 3]
        *_mean_and_linear(last_width),
    )


def narrow(width: int = 32) -> nn.Module:
    """Return ttdoucet's network (see `zoo`) at a quarter of its widths, with skips around BatchNorm.

    It sees the middle 24x24 pixels: only 0.2 % of all ink, but a quarter of the work, is outside.
    """
    return nn.Sequential(
        nn.ZeroPad2d(-2),  # [B, 1, 24, 24]
        nn.Conv2d(1, width, 5, padding=2),
        nn.ReLU(inplace=True),
        PreNormBlock(width, skip_norm=True),
        nn.MaxPool2d(2),
        *pre_norm_blocks(width, 2 * width, 4 * width, skip_norm=True),  # [B, 4 width, 3, 3]
        *_mean_and_linear(4 * width),
    )


def _mean_and_linear(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


NETWORKS = {
    "pooled": pooled,
    "pooled-256": lambda: pooled(256),
    "narrow": narrow,
    "wide": lambda: narrow(64),  # of no recipe any more, but of earlier runs
    "plain": plain,
    "residual": residual,
    **ZOO,
}


OWN_MODULE = "digit_recognizer_own_network"


def new_network(recipe: Recipe) -> nn.Module:
    """Return the recipe's network, its initial weights drawn from torch's global generator."""
    if not recipe.network_source:
        return NETWORKS[recipe.network]()
    file, _, function = recipe.network.partition(":")
    # Dataclasses look up their module; under a name of its own, it hides no other.
    module = sys.modules[OWN_MODULE] = ModuleType(OWN_MODULE)
    try:
        exec(compile(recipe.network_source, file, "exec"), vars(module))  # the user's own code
        network: nn.Module = vars(module)[function]()
        with torch.no_grad():  # a tensor that the module keeps could not be copied otherwise
            logits = network.eval()(torch.zeros(2, 1, 28, 28))
        if logits.shape != (2, 10):
            raise ValueError(f"returns {[*logits.shape]} for two images, not logits [2, 10]")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"network {recipe.network}: {reason}: fix {file}") from None
    return network


def load_network(recipe: Recipe, weights: dict[str, NDArray[Any]], device: Device) -> nn.Module:
    """Return a trained network on its device, in evaluation mode.

    ValueError: the weights are not those of the network.
    """
    network = new_network(recipe)
    try:
        network.load_state_dict({key: torch.as_tensor(value) for key, value in weights.items()})
    except (RuntimeError, TypeError):
        raise ValueError(f"its weights do not fit the network {recipe.network}") from None
    with out_of_memory_as(f"{device.name} {NO_MEMORY}"):
        return device.to_device(network).eval()


@dataclass(frozen=True)
class NetworkCost:
    """Trainable parameters, and multiply-adds of a forward pass of one 28x28 image.

    Convolutions and matrix products are counted: everything else is small in comparison.
    """

    parameters: int
    multiply_adds: int


def network_cost(recipe: Recipe) -> NetworkCost:
    """Return the cost of the recipe's network, counted in a pass of one empty image."""
    with torch.random.fork_rng(devices=[]):  # initial weights use the global generator
        network = new_network(recipe).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 28, 28))
    n_parameters = sum(weight.numel() for weight in network.parameters())
    return NetworkCost(n_parameters, counter.get_total_flops() // 2)
