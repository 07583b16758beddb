"""Where networks lie in memory."""

import pytest
import torch

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.models import NETWORKS


@pytest.mark.parametrize("name", ["plain", "residual", "narrow", "deotte"])
def test_every_convolution_passes_on_channels_last_images(name: str) -> None:
    network = Placement("cpu", "fp32").put(NETWORKS[name]())
    strides = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: strides.append(out.stride(1)))
    network(torch.zeros(2, 1, 28, 28))
    assert strides and set(strides) == {1}


def test_putting_a_network_leaves_its_weights_alone() -> None:
    network = NETWORKS["plain"]()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = Placement("cpu", "fp32").put(network).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
