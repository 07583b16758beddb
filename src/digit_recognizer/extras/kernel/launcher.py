"""The script that Kaggle runs: it unpacks the package inside it and trains with it.

`archive.py` fills in PACKED and REQUEST. The script imports the standard library only, in syntax
that old Pythons read, to report one that is too old. Nothing is installed: the image must have
what is in NEEDED (torch itself requires filelock and jinja2).
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import io
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKED = ""
REQUEST = "{}"

INPUTS = ("digit-recognizer", "competitions/digit-recognizer")
FILES = ("train.csv", "test.csv", "sample_submission.csv")
# Modules that the image must have, some of them in a minimum version.
NEEDED = {
    "torch": (2, 5),
    "numpy": (1, 26),
    "scipy": (),
    "sklearn": (),
    "cv2": (),
    "pandas": (),
    "rich": (),
    "safetensors": (),
}
# Other versions ignore arguments that they do not know, and so would not augment.
AUGMENTATION, AUGMENTATION_VERSION = "albumentations", (2, 0)


def main() -> None:
    """Check the machine, unpack, and train; write the run to ``run.zip`` in the working folder."""
    problem = find_problem()
    if problem:
        raise SystemExit(f"error: Kaggle's image {problem}: the run was not started")
    working = folder_of("working")
    source = find_data(folder_of("input"))
    folder = Path(tempfile.mkdtemp(prefix="digit-recognizer-"))
    try:
        code = train(folder, source, working / "run.zip")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise SystemExit(f"error: the run failed (exit code {code}): see above")


def folder_of(name: str) -> Path:
    """Return Kaggle's folder; elsewhere, as on Colab, the current one."""
    on_kaggle = Path("/kaggle", name)
    default = on_kaggle if on_kaggle.is_dir() else Path.cwd()
    return Path(os.environ.get("DIGIT_RECOGNIZER_" + name.upper(), default))


def find_problem() -> str:
    """Return what this machine lacks, "" if nothing."""
    if sys.version_info < (3, 11):  # noqa: UP036 (no installer has looked)
        return f"has Python {sys.version.split()[0]}, 3.11 or newer is needed"
    for module, minimum in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            return f"lacks {module}"
        if minimum and version_of(module) < minimum:
            return f"has {module} {dotted(version_of(module))}, {dotted(minimum)} is needed"
    if importlib.util.find_spec(AUGMENTATION) is None:
        return f"lacks {AUGMENTATION}, without which nothing would be augmented"
    found = version_of(AUGMENTATION)
    if found != AUGMENTATION_VERSION:
        return f"has {AUGMENTATION} {dotted(found)}, {dotted(AUGMENTATION_VERSION)} is needed"
    return ""


def version_of(distribution: str) -> tuple[int, ...]:
    """Return the first two numbers of a version, none where it is not known."""
    metadata = importlib.import_module("importlib.metadata")
    try:
        text = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def dotted(numbers: tuple[int, ...]) -> str:
    """Return a version as text."""
    return ".".join(str(number) for number in numbers) or "of unknown version"


def find_data(inputs: Path) -> Path:
    """Return the folder with the competition's files, one of the two that Kaggle has used."""
    folders = [inputs / name for name in INPUTS]
    for folder in folders:
        if all((folder / name).is_file() for name in FILES):
            return folder
    raise SystemExit(
        f"error: the competition's data is neither in {folders[0]} nor in {folders[1]}:"
        " accept its rules on Kaggle, and add it as input or run 'make kernel FORCE=1'"
    )


def train(folder: Path, source: Path, output: Path) -> int:
    """Unpack into `folder` and train in a new process, whose workers can import its module."""
    package, request = folder / "package", folder / "request.json"
    unpack(base64.b64decode(PACKED), package)
    request.write_text(REQUEST, encoding="utf-8")
    arguments = [str(path) for path in (request, source, folder, output)]
    process = subprocess.Popen(
        [sys.executable, "-m", "digit_recognizer.extras.kernel.on_kaggle", *arguments],
        cwd=package,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(package)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    # A notebook shows only what its own process prints.
    with process:
        for line in process.stdout or ():
            say(line.rstrip("\n"))
    return process.returncode


def unpack(packed: bytes, folder: Path) -> None:
    """Unpack a zip's bytes, never outside `folder`."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            if name != posixpath.normpath(name) or name.startswith(("/", "..")) or "\\" in name:
                raise SystemExit(f"error: the packed file {name!r} climbs out: not unpacked")
        archive.extractall(folder)
    say(f"unpacked {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


def say(line: str) -> None:
    """Write a line to the log at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
