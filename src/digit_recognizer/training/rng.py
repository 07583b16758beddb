"""Random generators: one for each purpose, member and epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class RngPurpose(IntEnum):
    """The use of a generator. The numbers are part of every result: never change them."""

    WEIGHTS = 1
    ORDER = 2
    AUGMENT = 3
    DROPOUT = 4


def make_rng(
    seed: int, purpose: RngPurpose, member_seed: int, fold: int, epoch: int = 0
) -> np.random.Generator:
    """Return a generator that depends on the arguments only, and not on earlier draws."""
    key = (seed, int(purpose), member_seed, fold, epoch)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@contextmanager
def torch_seed(rng: np.random.Generator, device: str = "cpu") -> Iterator[None]:
    """Seed torch's global generators, of initial weights and dropout.

    On exit, those of the CPU and of a CUDA `device` are restored.
    """
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(rng.integers(2**63)))
        yield
