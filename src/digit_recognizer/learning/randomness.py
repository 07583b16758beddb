"""One stream of random numbers per purpose, seed, fold and epoch."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every result: never change them."""

    WEIGHTS = 1
    ORDER = 2
    AUGMENT = 3


def stream(
    recipe_seed: int, purpose: Purpose, seed: int, fold: int, epoch: int = 0
) -> np.random.Generator:
    """A generator that depends on nothing but its arguments.

    Not on the device, the number of workers or what was drawn before, so a member can be
    trained again alone and comes out the same.
    """
    key = (recipe_seed, int(purpose), seed, fold, epoch)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
