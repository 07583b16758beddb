"""What a run was computed on: the content of ``environment.json``."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.parallel import count_cores
from digit_recognizer.storage.bundle import COMMIT_NOTE
from digit_recognizer.storage.datasets import Provenance
from digit_recognizer.storage.files import read_json

MACHINE = ("device", "hardware", "precision")
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "albumentations", "safetensors")


def describe(placement: Placement, provenance: Provenance) -> dict[str, Any]:
    """Commit, versions, device and data, as plain JSON values."""
    known, dirty = commit()
    return {
        "commit": known,
        "dirty": dirty,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "device": placement.device,
        "hardware": _hardware(placement),
        "precision": placement.precision,
        "cores": count_cores(),
        # One thread and no atomics on a CPU; CUDA's convolutions may sum in any order.
        "deterministic": placement.device == "cpu",
        # A user's own path tells more of the user than of the data: its last name is enough.
        "source": Path(provenance.source).name,
        "may_submit": provenance.may_submit,
        "repeats": provenance.repeats,
        "data": provenance.sha256,
    }


def joined_machines(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Device, hardware and precision of several, those that differ with ``+`` between them.

    ``deterministic`` is whether all are.
    """
    joined: dict[str, Any] = {}
    for key in MACHINE:
        names = [name for item in environments for name in str(item[key]).split(" + ")]
        joined[key] = " + ".join(dict.fromkeys(names))
    return {**joined, "deterministic": all(item["deterministic"] for item in environments)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _hardware(placement: Placement) -> str:
    if placement.device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(placement.device)
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> tuple[str | None, bool | None]:
    """The commit of this code and whether it was changed since, where git or a note knows."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    here = Path(__file__).parent
    note = here / COMMIT_NOTE
    if note.is_file():
        noted = read_json(note)
        return noted["commit"], noted["dirty"]

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=here, env=quiet, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return None, None
