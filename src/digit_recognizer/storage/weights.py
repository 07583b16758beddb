"""A run's networks as they lie on disk."""

from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from digit_recognizer.storage.runs import Run, RunError


def network_names(run: Run) -> list[str]:
    """The members of an ordinary run, each of which has its network.

    Raises
    ------
    RunError
        If there are none, or one lacks its network.
    """
    members = run.member_names()
    if not members or not all(run.weights_path(name).is_file() for name in members):
        raise RunError(f"{run.run_dir}: has no networks: run 'make train RUN={run.name}'")
    return members


def read_weights(run: Run, member: str) -> dict[str, NDArray[Any]]:
    """A member's averaged weights, by their names in the network.

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
