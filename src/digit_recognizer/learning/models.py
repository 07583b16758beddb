"""Our networks: images [B, 1, 28, 28] in, logits [B, 10] out. Those of others are in `zoo`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.learning.zoo import ZOO


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


class NormFirstBlock(nn.Module):
    """A 3x3 convolution of normed features, and ReLU, beside the features as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, H, W] in, the same shape out."""
        return x + F.relu(self.conv(self.norm(x)), inplace=True)


def conv_norm_relu(
    channels_in: int, channels_out: int, kernel: int, stride: int = 2, padding: int | None = None
) -> nn.Sequential:
    """A convolution that, unless told otherwise, halves height and width; BatchNorm and ReLU."""
    margin = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, margin, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


class ByteDropout(nn.Module):
    """Dropout that draws a byte a value: on a CPU torch's own took 15 % of a step, this takes 5.

    The rate is a multiple of 1/256.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same out; at prediction nothing is done."""
        if not self.training:
            return x
        # Eight bytes at a draw, with the memory layout of x: channels last stay last.
        words = torch.empty(x.numel() // 8 + 1, dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()]
        kept = torch.as_strided(drawn, x.shape, x.stride()) >= self.dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - self.dropped))


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


def plain() -> nn.Module:
    """Deotte's shape (see `zoo`) with BatchNorm before ReLU, a stride early, and less dropout.

    The first layer is the largest by far and has half of his channels: as good, and a third faster.
    """
    return nn.Sequential(
        nn.ZeroPad2d(-1),  # [B, 1, 26, 26]
        conv_norm_relu(1, 16, 3, stride=1, padding=0),  # [B, 16, 24, 24]
        conv_norm_relu(16, 32, 5),  # [B, 32, 12, 12]
        ByteDropout(0.2),
        conv_norm_relu(32, 64, 3, stride=1, padding=0),
        conv_norm_relu(64, 64, 3, stride=1, padding=0),  # [B, 64, 8, 8]
        conv_norm_relu(64, 64, 5),  # [B, 64, 4, 4]
        ByteDropout(0.2),
        conv_norm_relu(64, 128, 4, stride=1, padding=0),  # [B, 128, 1, 1]
        nn.Flatten(),
        ByteDropout(0.2),
        nn.Linear(128, 10),
    )


def narrow() -> nn.Module:
    """ttdoucet's shape (see `zoo`) at a quarter of its widths, skips past the BatchNorm.

    It sees the middle 24x24 pixels: 0.2 % of all ink lies outside, a quarter of the work would.
    The larger of a pooled square is the same before ReLU as after, which has less to do then.
    """
    return nn.Sequential(
        nn.ZeroPad2d(-2),  # [B, 1, 24, 24]
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(inplace=True),
        NormFirstBlock(32),
        nn.MaxPool2d(2),  # [B, 32, 12, 12]
        NormFirstBlock(32),
        *_norm_conv_pool_relu(32, 64),  # [B, 64, 6, 6]
        NormFirstBlock(64),
        *_norm_conv_pool_relu(64, 128),  # [B, 128, 3, 3]
        NormFirstBlock(128),
        nn.BatchNorm2d(128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def _norm_conv_pool_relu(channels_in: int, channels_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    pool = nn.MaxPool2d(2)
    return [nn.BatchNorm2d(channels_in), conv, pool, nn.ReLU(inplace=True)]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "narrow": narrow,
    "plain": plain,
    "residual": residual,
    **ZOO,
}
