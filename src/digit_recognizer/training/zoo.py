"""Other people's networks, from images [B, 1, 28, 28] to logits [B, 10].

Each follows its author's description; what the author did not state is named. Their training is
in the recipes of the same names.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.training.conv import Conv3x3


def two_convolutions(
    channels: tuple[int, int], kernel: int, last_padding: int, *sizes: int
) -> nn.Module:
    """Return two convolutions, each with ReLU and max-pooling, and linear layers.

    The first convolution keeps the image's size; `sizes` are the numbers of features between the
    linear layers.
    """
    return nn.Sequential(
        *_conv_relu_pool(1, channels[0], kernel, kernel // 2),  # [B, C, 14, 14]
        *_conv_relu_pool(*channels, kernel, last_padding),  # [B, C, 7, 7] if padded
        nn.Flatten(),
        *_linear_layers(*sizes, 10),
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
    """Return linear layers 784 -> 512 -> ... -> 64 -> 10 with ReLU and dropout.

    Not stated: the widths in between, which are halved each time here, and the dropout's rate.
    """
    return nn.Sequential(nn.Flatten(), *_linear_layers(784, 512, 256, 128, 64, 10, dropout=0.2))


def keras_cnn() -> nn.Module:
    """Return "a Keras CNN"; as nothing more was stated, Keras's own long-standing example.

    https://github.com/keras-team/keras/blob/2.3.1/examples/mnist_cnn.py
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        *_conv_relu_pool(32, 64, 3, padding=0),  # [B, 64, 12, 12]
        nn.Dropout(0.25),
        nn.Flatten(),
        *_linear_layers(9216, 128, 10, dropout=0.5),
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
    """BatchNorm, a 3x3 convolution and ReLU with a skip connection.

    The skip begins after BatchNorm, or with `skip_norm` before it.
    """

    def __init__(self, channels: int, skip_norm: bool = False) -> None:
        super().__init__()
        self.skip_norm = skip_norm
        self.norm = nn.BatchNorm2d(channels)
        self.conv = Conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to features of the same shape."""
        normed = self.norm(x)
        return (x if self.skip_norm else normed) + F.relu(self.conv(normed), inplace=True)


def pre_norm_blocks(*widths: int, skip_norm: bool = False) -> list[nn.Module]:
    """Return a block of each width, the size halved between two of them, and a BatchNorm."""
    layers: list[nn.Module] = []
    for width, next_width in pairwise(widths):
        layers += [
            PreNormBlock(width, skip_norm),
            nn.BatchNorm2d(width),
            Conv3x3(width, next_width),
            nn.MaxPool2d(2, ceil_mode=True),  # before ReLU: the same values, and less for it to do
            nn.ReLU(inplace=True),
        ]
    return [*layers, PreNormBlock(widths[-1], skip_norm), nn.BatchNorm2d(widths[-1])]


def ttdoucet() -> nn.Module:
    """Return ttdoucet's committee member (https://github.com/ttdoucet/mnist), fully stated."""
    return nn.Sequential(
        nn.Conv2d(1, 128, 5, padding=2),
        nn.ReLU(),
        PreNormBlock(128),
        nn.MaxPool2d(2),
        *pre_norm_blocks(128, 256, 512),  # [B, 512, 4, 4]
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


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


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip connection (He et al. 2015, arXiv:1512.03385).

    Where channels or size change, the skip is a 1x1 convolution of the same stride.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = Conv3x3(channels_out, channels_out, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.skip = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.skip.append(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))
            self.skip.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to [B, C', H', W']."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(y)))


def baranarca_resnet() -> nn.Module:
    """Return `ResNetMNIST` of https://github.com/emrebaranarca/computer-vision-mnist-cnn."""
    layers = [nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    for channels_in, channels_out, stride in ((32, 64, 1), (64, 128, 2), (128, 256, 2)):
        layers += [ResidualBlock(channels_in, channels_out, stride)]
        layers += [ResidualBlock(channels_out, channels_out)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(256, 10)]
    return nn.Sequential(*layers, *head)


def baranarca_vgg() -> nn.Module:
    """Return `WideConvNet` of the same author; both are fully stated."""
    layers: list[nn.Module] = []
    for channels_in, channels_out, padding in ((1, 64, 0), (64, 128, 0), (128, 256, 1)):
        for size in (channels_in, channels_out):
            conv = nn.Conv2d(size, channels_out, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]
        layers += [nn.MaxPool2d(2, padding=padding), nn.Dropout(0.25)]
    hidden = [nn.Linear(4096, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Flatten(), *hidden, nn.Linear(512, 10))


ZOO: dict[str, Callable[[], nn.Module]] = {
    # "Inspired by LeNet-5". Not stated: the widths. Those of the linear layers are LeCun's; with
    # his 6 and 16 channels the claimed accuracies are out of reach in 5 epochs.
    "lenet5": lambda: two_convolutions((32, 64), 5, 0, 1600, 120, 84),
    # Not stated: all sizes. Chosen: those of most first examples.
    "simple-cnn": lambda: two_convolutions((16, 32), 3, 1, 1568, 128),
    # Not stated: the activation between the linear layers.
    "two-conv": lambda: two_convolutions((32, 64), 3, 1, 3136, 1000, 100),
    "mlp": mlp,
    "keras-cnn": keras_cnn,
    "deotte": deotte,
    "ttdoucet": ttdoucet,
    "mnist-m3": lambda: mnist_simple(3, tuple(range(32, 177, 16))),
    "mnist-m5": lambda: mnist_simple(5, (32, 64, 96, 128, 160)),
    "mnist-m7": lambda: mnist_simple(7, (48, 96, 144, 192)),
    "matuzas77": matuzas77,
    "baranarca-resnet": baranarca_resnet,
    "baranarca-vgg": baranarca_vgg,
}
