"""A run's networks as they lie on disk."""

from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from digit_recognizer.storage.runs import Run, RunError


def network_names(run: Run) -> list[str]:
    """The members of an ordinary run; RunError if one is not trained."""
    if run.missing_members():
        raise run.unfinished()
    return run.member_names()


def read_weights(run: Run, member: str) -> dict[str, NDArray[Any]]:
    """A member's weights, by their names in the network.

    Raises
    ------
    RunError
        If the file is missing or damaged.
    """
    path = run.weights_path(member)
    try:
        weights: dict[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError):
        raise RunError(
            f"{path}: is damaged: delete its folder and run 'make train' again"
        ) from None
    return weights
