"""The networks: images [B, 1, 28, 28] in, logits [B, 10] out."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Images or features [B, C, H, W] in, the same shape out."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(y)))


def conv_norm_relu(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """A convolution that halves height and width, with BatchNorm and ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, 2, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


def residual(widths: tuple[int, int, int] = (32, 64, 128)) -> nn.Module:
    """A small residual network: 28x28 -> 14x14 -> 7x7 -> 4x4, one block at each size.

    The stem halves the image at once: it costs little accuracy and saves most of the work.
    """
    narrow, middle, wide = widths
    return nn.Sequential(
        conv_norm_relu(1, narrow, 5),  # [B, 32, 14, 14]
        ResidualBlock(narrow),
        conv_norm_relu(narrow, middle, 3),  # [B, 64, 7, 7]
        ResidualBlock(middle),
        conv_norm_relu(middle, wide, 3),  # [B, 128, 4, 4]
        ResidualBlock(wide),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(wide, 10),
    )


def mlp() -> nn.Module:
    """Four fully connected hidden layers with dropout: the baseline without convolutions."""
    layers: list[nn.Module] = [nn.Flatten()]
    for size_in, size_out in ((784, 512), (512, 256), (256, 128), (128, 64)):
        layers += [nn.Linear(size_in, size_out), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(64, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "residual": residual,
    "residual-wide": lambda: residual((48, 96, 192)),
    "mlp": mlp,
}
