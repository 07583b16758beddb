"""Hardware, versions and data of a run: the content of ``environment.json``."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.files import read_json
from digit_recognizer.training.device import Device
from digit_recognizer.training.parallel import count_cores

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "albumentations", "safetensors")
COMMIT_NOTE = "commit.json"  # replaces git where the package travels without it


def describe(devices: Sequence[Device], data: Dataset) -> dict[str, Any]:
    """Return commit, versions, devices and loaded data as JSON values."""
    provenance = data.provenance
    if provenance is None:
        raise ValueError("the data was not loaded from a verified folder")
    known, dirty = commit()
    return {
        "commit": known,
        "dirty": dirty,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        **merge_hardware([_device(device) for device in devices]),
        "cores": count_cores(),
        # A user's own path tells more of the user than of the data: its last name is enough.
        "source": Path(provenance.source).name,
        "may_submit": provenance.may_submit,
        "repeats": provenance.repeats,
        "data": provenance.sha256,
    }


def merge_hardware(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return device, hardware and precision of several environments.

    Those that differ are joined by ``+``; ``deterministic`` is true if all are.
    """
    joined: dict[str, Any] = {"deterministic": all(item["deterministic"] for item in environments)}
    for key in ("device", "hardware", "precision"):
        names = [name for item in environments for name in str(item[key]).split(" + ")]
        joined[key] = " + ".join(dict.fromkeys(names))
    return joined


def _device(device: Device) -> dict[str, Any]:
    return {
        "device": device.name,
        "hardware": device.hardware,
        "precision": device.precision,
        # One thread and no atomics on a CPU; CUDA's convolutions may sum in any order.
        "deterministic": device.name == "cpu",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> tuple[str | None, bool | None]:
    """Return the commit of this code and whether it was changed since, where they are known."""
    package = Path(__file__).parents[1]
    if (package / COMMIT_NOTE).is_file():
        noted = read_json(package / COMMIT_NOTE)
        return noted["commit"], noted["dirty"]
    try:
        return _git(package, "rev-parse", "HEAD"), bool(_git(package, "status", "--porcelain", "."))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(folder: Path, *words: str) -> str:
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=quiet, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
