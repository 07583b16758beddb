"""What a network costs: its weights, and its work for an image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from digit_recognizer.learning.models import NETWORKS


@dataclass(frozen=True)
class Cost:
    """Trained numbers of a network, and multiply-adds of a forward pass of one 28x28 image.

    Only convolutions and linear layers count: everything else is small beside them.
    """

    parameters: int
    multiply_adds: int


def network_cost(name: str) -> Cost:
    """The cost of the network called `name`, found by showing it an empty image.

    Raises
    ------
    KeyError
        If there is no such network.
    """
    with torch.random.fork_rng(devices=[]):  # first weights draw from the global generator
        network = NETWORKS[name]().eval()
    work: list[int] = []

    # torch's own FlopCounterMode counts the same, and takes 3 s to start.
    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            positions = output[0].numel() // output.shape[1]  # of a convolution, 1 of a linear
            work.append(layer.weight.numel() * positions)

    for layer in network.modules():
        layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 1, 28, 28))
    return Cost(sum(weight.numel() for weight in network.parameters()), sum(work))
