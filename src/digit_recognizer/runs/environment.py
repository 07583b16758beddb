"""Hardware, versions and data of a run: the content of ``environment.json``."""

import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.data.files import read_json

if TYPE_CHECKING:
    from digit_recognizer.training.device import Device

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "albumentations", "safetensors")
COMMIT_NOTE = "commit.json"  # replaces git where the package travels without it


@dataclass(frozen=True)
class Environment:
    """The content of ``environment.json``."""

    commit: str | None
    dirty: bool | None
    python: str
    versions: dict[str, str | None]
    device: str
    hardware: str
    precision: str
    cores: int
    deterministic: bool
    source: str
    may_submit: bool
    repeats: int  # test images that are also training rows
    data: dict[str, str]  # SHA-256 of each file
    augmentation: str = "cpu"  # what warped the images: "cpu", or "device" for a GPU
    parts: dict[str, str] = field(default_factory=dict)  # of a blend: hashes of the predictions

    def with_hardware(self, environments: Sequence["Environment"]) -> "Environment":
        """Return a copy with the hardware of all `environments`; deterministic if all are."""
        return replace(
            self,
            device=_joined(item.device for item in environments),
            hardware=_joined(item.hardware for item in environments),
            precision=_joined(item.precision for item in environments),
            augmentation=_joined(item.augmentation for item in environments),
            deterministic=all(item.deterministic for item in environments),
        )


def _joined(names: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(part for name in names for part in name.split(" + ")))


def current_environment(devices: "Sequence[Device]", data: Dataset) -> Environment:
    """Return the environment of a run that begins now."""
    # Imported here: reading a run does without torch, which takes seconds.
    from digit_recognizer.training.device import count_cores

    provenance = data.provenance
    assert provenance is not None  # arrays of one's own have none
    commit, dirty = code_version()
    return Environment(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        versions={name: version(name) for name in PACKAGES},
        device=_joined(device.name for device in devices),
        hardware=_joined(device.hardware for device in devices),
        precision=_joined(device.precision for device in devices),
        cores=count_cores(),
        # One thread and no atomics on a CPU; CUDA's convolutions may sum in any order.
        deterministic=all(device.name == "cpu" for device in devices),
        augmentation=_joined("cpu" if device.kind == "cpu" else "device" for device in devices),
        # The path says more about the user than about the data: keep its last part only.
        source=Path(provenance.source).name,
        may_submit=provenance.may_submit,
        repeats=provenance.repeats,
        data=provenance.sha256,
    )


def code_version() -> tuple[str | None, bool | None]:
    """Return the commit of this code and whether it was changed since, where they are known."""
    package = Path(__file__).parents[1]
    if (package / COMMIT_NOTE).is_file():
        noted = read_json(package / COMMIT_NOTE)
        return noted["commit"], noted["dirty"]
    try:
        # Fails where the package is only installed inside a repository.
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return _git(package, "rev-parse", "HEAD"), bool(_git(package, "status", "--porcelain", "."))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
