"""Other people's networks, from images [B, 1, 28, 28] to logits [B, 10].

Each follows its author's description. Its docstring names what the author did not state and
what was chosen instead. Their training is in the recipes of the same names.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def lenet5() -> nn.Module:
    """Return a network "inspired by LeNet-5": 2 convolutions, 2 max-pools, 3 linear layers, ReLU.

    Not stated: the widths. Those of the linear layers are LeCun's 120 and 84. With his 6 and 16
    channels the claimed accuracies are out of reach in 5 epochs, so there are 32 and 64 here.
    """
    return nn.Sequential(
        *_conv_relu_pool(1, 32, 5, padding=2),  # [B, 32, 14, 14]
        *_conv_relu_pool(32, 64, 5, padding=0),  # [B, 64, 5, 5]
        nn.Flatten(),
        *_linear_layers(1600, 120, 84, 10),
    )


def simple_cnn() -> nn.Module:
    """Return a network of convolutions followed by fully connected layers.

    Nothing else was stated. Chosen, as in most first examples: two convolutions of 16 and 32
    channels, each with ReLU and pooling, and a hidden layer of 128.
    """
    return nn.Sequential(
        *_conv_relu_pool(1, 16, 3, padding=1),  # [B, 16, 14, 14]
        *_conv_relu_pool(16, 32, 3, padding=1),  # [B, 32, 7, 7]
        nn.Flatten(),
        *_linear_layers(1568, 128, 10),
    )


def two_conv() -> nn.Module:
    """Return two padded convolutions and linear layers 3136 -> 1000 -> 100 -> 10.

    Not stated: the activation between the linear layers. ReLU was chosen.
    """
    return nn.Sequential(
        *_conv_relu_pool(1, 32, 3, padding=1),  # [B, 32, 14, 14]
        *_conv_relu_pool(32, 64, 3, padding=1),  # [B, 64, 7, 7]
        nn.Flatten(),
        *_linear_layers(3136, 1000, 100, 10),
    )


def _conv_relu_pool(
    channels_in: int, channels_out: int, kernel: int, padding: int
) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, kernel, padding=padding)
    return [conv, nn.ReLU(), nn.MaxPool2d(2)]


def _linear_layers(*sizes: int, dropout: float = 0.0) -> list[nn.Module]:
    """Return linear layers with ReLU, and perhaps dropout, between them."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return [*layers, nn.Linear(sizes[-2], sizes[-1])]


def mlp() -> nn.Module:
    """Return four hidden linear layers, 784 -> 512 -> ... -> 64 -> 10, with ReLU and dropout.

    Not stated: the widths in between, which are halved each time here, and the dropout, 0.2 here.
    """
    return nn.Sequential(nn.Flatten(), *_linear_layers(784, 512, 256, 128, 64, 10, dropout=0.2))


def keras_cnn() -> nn.Module:
    """Return "a Keras CNN"; as nothing more was stated, Keras's own long-standing example.

    https://github.com/keras-team/keras/blob/2.3.1/examples/mnist_cnn.py
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 64, 12, 12]
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def deotte() -> nn.Module:
    """Return one of the 15 networks of Deotte's "25 Million Images! [0.99757] MNIST".

    BatchNorm comes after ReLU. Chosen: torch's initial weights instead of Keras's.
    """
    return nn.Sequential(
        *_conv_relu_norm(1, 32, 3),  # [B, 32, 26, 26]
        *_conv_relu_norm(32, 32, 3),
        *_conv_relu_norm(32, 32, 5, halving=True),  # [B, 32, 12, 12]
        nn.Dropout(0.4),
        *_conv_relu_norm(32, 64, 3),
        *_conv_relu_norm(64, 64, 3),
        *_conv_relu_norm(64, 64, 5, halving=True),  # [B, 64, 4, 4]
        nn.Dropout(0.4),
        *_conv_relu_norm(64, 128, 4),  # [B, 128, 1, 1]
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(128, 10),
    )


def _conv_relu_norm(
    channels_in: int, channels_out: int, kernel: int, halving: bool = False
) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride=2 if halving else 1)
    # Keras's "same" pads an even size, at stride 2, by one more row and column after than before.
    padding: list[nn.Module] = [nn.ZeroPad2d((1, 2, 1, 2))] if halving else []
    norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)  # Keras's defaults
    return [*padding, conv, nn.ReLU(), norm]


class PreNormBlock(nn.Module):
    """BatchNorm, a 3x3 convolution and ReLU with a skip connection, around BatchNorm or after it."""

    def __init__(self, channels: int, skip_norm: bool = False) -> None:
        super().__init__()
        self.skip_norm = skip_norm
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to features of the same shape."""
        normed = self.norm(x)
        return (x if self.skip_norm else normed) + F.relu(self.conv(normed), inplace=True)


def ttdoucet() -> nn.Module:
    """Return ttdoucet's committee member (https://github.com/ttdoucet/mnist), fully stated."""
    return nn.Sequential(
        nn.Conv2d(1, 128, 5, padding=2),
        nn.ReLU(),
        PreNormBlock(128),
        nn.MaxPool2d(2),  # [B, 128, 14, 14]
        PreNormBlock(128),
        *_norm_conv_relu(128, 256),
        nn.MaxPool2d(2),  # [B, 256, 7, 7]
        PreNormBlock(256),
        *_norm_conv_relu(256, 512),
        nn.MaxPool2d(2, ceil_mode=True),  # [B, 512, 4, 4]
        PreNormBlock(512),
        nn.BatchNorm2d(512),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def _norm_conv_relu(channels_in: int, channels_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [nn.BatchNorm2d(channels_in), conv, nn.ReLU()]


def mnist_simple(kernel: int, widths: tuple[int, ...]) -> nn.Module:
    """Return one of An et al.'s MnistSimpleCNN (2020, arXiv:2008.10400): no padding, no pooling.

    The linear layer has no bias, and its logits go through a BatchNorm. Chosen: convolutions
    without bias, as BatchNorm follows.
    """
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise((1, *widths)):
        conv = nn.Conv2d(channels_in, channels_out, kernel, bias=False)
        layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]
    side = 28 - len(widths) * (kernel - 1)  # of the last features, pixels
    linear = nn.Linear(widths[-1] * side * side, 10, bias=False)
    return nn.Sequential(*layers, nn.Flatten(), linear, nn.BatchNorm1d(10))


class SqueezeExcite(nn.Module):
    """A factor for each channel, from the means of all channels (Hu et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            *_linear_layers(channels, channels // 32, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to features of the same shape."""
        factors: Tensor = self.factors(x)  # [B, C]
        return x * factors[:, :, None, None]


class MaxAndMean(nn.Module):
    """The maximum and the mean over all places, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to [B, 2 C]."""
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)


def matuzas77() -> nn.Module:
    """Return one of the 20 networks of https://github.com/Matuzas77/MNIST-0.17, fully stated."""
    layers: list[nn.Module] = []
    for channels_in, pool in ((1, 1), (128, 2), (128, 2)):
        for size in (channels_in, 128, 128):
            layers += [nn.Conv2d(size, 128, 3, padding=1), nn.ReLU()]
        norm = nn.BatchNorm2d(128, eps=1e-3, momentum=0.01)  # Keras's defaults
        layers += [norm, SqueezeExcite(128), nn.AvgPool2d(pool)]
    return nn.Sequential(*layers, MaxAndMean(), nn.Linear(256, 10, bias=False))


ZOO: dict[str, Callable[[], nn.Module]] = {
    "lenet5": lenet5,
    "simple-cnn": simple_cnn,
    "two-conv": two_conv,
    "mlp": mlp,
    "keras-cnn": keras_cnn,
    "deotte": deotte,
    "ttdoucet": ttdoucet,
    "mnist-m3": lambda: mnist_simple(3, tuple(range(32, 177, 16))),
    "mnist-m5": lambda: mnist_simple(5, (32, 64, 96, 128, 160)),
    "mnist-m7": lambda: mnist_simple(7, (48, 96, 144, 192)),
    "matuzas77": matuzas77,
}
