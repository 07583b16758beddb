"""The tiled gradient of a 3x3 convolution is torch's own, summed in another order."""

import pytest
import torch
from torch import Tensor, nn

from digit_recognizer.training import conv
from digit_recognizer.training.conv import Conv3x3


@pytest.fixture(autouse=True)
def _amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CPU computes what one with AMX would, if more slowly."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)


def gradients(layer: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """Return the output in bf16, and the gradients of the images, the kernel and the bias."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
    torch.autograd.backward(output, torch.cos(torch.arange(output.numel())).view_as(output))
    found = [output, x.grad, *(p.grad for p in layer.parameters())]
    return [value.float() for value in found if value is not None]


@pytest.mark.parametrize("side", [3, 6, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_tiles_change_no_more_than_the_order_of_sums(side: int, bias: bool) -> None:
    x = torch.randn(16, 5, side, side, generator=torch.manual_seed(side))
    tiled = Conv3x3(5, 7, bias)
    plain = nn.Conv2d(5, 7, 3, padding=1, bias=bias)
    plain.load_state_dict(tiled.state_dict())
    for found, expected in zip(gradients(tiled, x), gradients(plain, x), strict=True):
        assert found.shape == expected.shape
        # Without bf16 in hardware, sums of other lengths are rounded to bf16: 1.3 % were seen.
        assert (found - expected).abs().max() <= 0.03 * expected.abs().max()


@pytest.mark.parametrize("shape", [(12, 2, 6, 6), (16, 2, 12, 12)])
def test_odd_batches_and_larger_images_are_left_to_torch(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv._TiledConv, "apply", None)
    gradients(Conv3x3(2, 3), torch.ones(shape))
    with pytest.raises(TypeError):
        gradients(Conv3x3(2, 3), torch.ones(16, 2, 6, 6))
