"""A training step as a CUDA graph, which launches all of its kernels at once.

A step of `narrow` runs more than 300 small kernels. Launched one by one, each costs the host some
microseconds, in which a fast GPU has nothing to do.
"""

import logging
from collections.abc import Callable, Iterator

import torch

logger = logging.getLogger(__name__)

# Steps before the capture: they set up the optimizers' state, and cuDNN chooses its algorithms.
WARMUP_STEPS = 3

Step = Callable[[], None]


def graphed(step: Step, capture: Callable[[Step], Step]) -> Iterator[None]:
    """Do a step for every `next`: the first ones as they are, later ones as a captured graph.

    The graph repeats the captured kernels on the same memory, with the same numbers from the host.
    So a step must read from tensors whatever changes, and hand nothing to the host. Where it
    cannot be captured, all steps run as they are.

    Parameters
    ----------
    capture : records what a step does, without doing it, and returns what repeats it
    """
    for _ in range(WARMUP_STEPS):
        step()
        yield
    try:
        step = capture(step)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        logger.warning("no CUDA graph (%s): training goes on without it, more slowly", reason)
    while True:
        step()
        yield


def cuda_capture(step: Step, device: str) -> Step:
    """Record the kernels of a step on a CUDA device and return their replay."""
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # The outer context also leaves the stream after a capture that failed.
    with torch.cuda.stream(stream), torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay
