"""One stream of random numbers per purpose, seed, fold and epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every result: never change them."""

    WEIGHTS = 1
    ORDER = 2
    AUGMENT = 3
    DROPOUT = 4


def stream(
    recipe_seed: int, purpose: Purpose, seed: int, fold: int, epoch: int = 0
) -> np.random.Generator:
    """A generator that depends on nothing but its arguments.

    Not on the device, the number of workers or what was drawn before, so a member can be
    trained again alone and comes out the same.
    """
    key = (recipe_seed, int(purpose), seed, fold, epoch)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@contextmanager
def torch_draws_from(rng: np.random.Generator, device: str = "cpu") -> Iterator[None]:
    """Let what torch draws inside, first weights or dropout, depend on `rng` alone.

    torch's global generators are as they were afterwards.
    """
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(rng.integers(2**63)))
        yield
