"""Other people's networks: images [B, 1, 28, 28] in, logits [B, 10] out.

Each is built as far as its author describes it; what was not stated, and what was chosen
instead, stands in its docstring. Their training is in the recipes of the same names.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


def lenet5() -> nn.Module:
    """As "inspired by LeNet-5": 2 convolutions, 2 max-pools, 3 fully connected layers, ReLU.

    Widths were not stated: those of the fully connected layers are LeCun's 120 and 84. With
    his 6 and 16 channels the accuracies that were claimed are out of reach in 5 epochs, so
    they are 32 and 64 here.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 32, 14, 14]
        nn.Conv2d(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 64, 5, 5]
        nn.Flatten(),
        nn.Linear(1600, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def simple_cnn() -> nn.Module:
    """Convolutions followed by fully connected layers.

    Nothing else was stated: two convolutions of 16 and 32 channels, each with ReLU and
    pooling, and a hidden layer of 128 are the usual first example.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 16, 14, 14]
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 32, 7, 7]
        nn.Flatten(),
        nn.Linear(1568, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def two_conv() -> nn.Module:
    """Two padded convolutions and linear layers 3136 -> 1000 -> 100 -> 10.

    Not stated: what stands between the linear layers. ReLU was chosen.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 32, 14, 14]
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [B, 64, 7, 7]
        nn.Flatten(),
        nn.Linear(3136, 1000),
        nn.ReLU(),
        nn.Linear(1000, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def mlp() -> nn.Module:
    """Four fully connected hidden layers, 784 -> 512 -> ... -> 64 -> 10, ReLU and dropout.

    Not stated: the widths between, halved here each time, and the dropout, 0.2 here.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for size_in, size_out in ((784, 512), (512, 256), (256, 128), (128, 64)):
        layers += [nn.Linear(size_in, size_out), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def keras_cnn() -> nn.Module:
    """As "a Keras CNN", nothing more: Keras's own example of many years was chosen.

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
    """Deotte's "25 Million Images! [0.99757] MNIST", one of its 15 networks.

    BatchNorm comes after ReLU. Chosen: torch's first weights instead of Keras's.
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


class NormedResidual(nn.Module):
    """BatchNorm, then ReLU of a 3x3 convolution beside what the BatchNorm gave."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, H, W] in, the same shape out."""
        x = self.norm(x)
        return x + F.relu(self.conv(x))


def ttdoucet() -> nn.Module:
    """ttdoucet's committee member (https://github.com/ttdoucet/mnist); nothing was left open."""
    return nn.Sequential(
        nn.Conv2d(1, 128, 5, padding=2),
        nn.ReLU(),
        NormedResidual(128),
        nn.MaxPool2d(2),  # [B, 128, 14, 14]
        NormedResidual(128),
        *_norm_conv_relu(128, 256),
        nn.MaxPool2d(2),  # [B, 256, 7, 7]
        NormedResidual(256),
        *_norm_conv_relu(256, 512),
        nn.MaxPool2d(2, ceil_mode=True),  # [B, 512, 4, 4]
        NormedResidual(512),
        nn.BatchNorm2d(512),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def _norm_conv_relu(channels_in: int, channels_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [nn.BatchNorm2d(channels_in), conv, nn.ReLU()]


def mnist_simple(kernel: int, widths: tuple[int, ...]) -> nn.Module:
    """One of An et al.'s MnistSimpleCNN (2020, arXiv:2008.10400): unpadded, without pooling.

    The linear layer has no bias, its logits go through a BatchNorm. Chosen: convolutions
    without bias, as BatchNorm follows.
    """
    layers: list[nn.Module] = []
    for channels_in, channels_out in zip((1, *widths), widths, strict=False):
        conv = nn.Conv2d(channels_in, channels_out, kernel, bias=False)
        layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]
    side = 28 - len(widths) * (kernel - 1)  # of what the last convolution leaves, pixels
    linear = nn.Linear(widths[-1] * side * side, 10, bias=False)
    return nn.Sequential(*layers, nn.Flatten(), linear, nn.BatchNorm1d(10))


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
}
