"""The script that Kaggle runs: it unpacks the package that it carries, and trains with it.

`storage/bundle.py` fills in the two constants below. It stands alone, imports the standard
library only, and keeps to syntax that old Pythons read, so that it can say that one is too old.
Nothing is installed. What the image must have is in NEEDED; for filelock and safetensors,
where it lacks them, stand-ins travel along; rich, pandas and kaggle are not used here.
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
# Modules that must be there, and of some the least version that has what is used of them.
NEEDED = {"torch": (2, 5), "numpy": (1, 26), "scipy": (), "sklearn": (), "cv2": ()}
# Others take other arguments, ignore those that they do not know, and so would not augment.
AUGMENTATION, AUGMENTATION_VERSION = "albumentations", (2, 0)
STANDINS = ("filelock", "safetensors")


def main() -> None:
    """Check, unpack, train; ``run.zip`` in the working folder is the finished run."""
    problem = unfit()
    if problem:
        raise SystemExit(f"error: Kaggle's image {problem}: the run was not started")
    working = Path(os.environ.get("DIGIT_RECOGNIZER_WORKING", "/kaggle/working"))
    source = find_data(Path(os.environ.get("DIGIT_RECOGNIZER_INPUT", "/kaggle/input")))
    place = Path(tempfile.mkdtemp(prefix="digit-recognizer-"))
    try:
        code = run_in(place, source, working / "run.zip")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if code:
        raise SystemExit(f"error: the run failed (exit code {code}): see above")


def unfit() -> str:
    """What is wrong with this machine, "" if nothing is."""
    if sys.version_info < (3, 11):  # noqa: UP036 (no installer has looked)
        return f"has Python {sys.version.split()[0]}, 3.11 or newer is needed"
    for module, least in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            return f"lacks {module}"
        if least and version_of(module) < least:
            return f"has {module} {dotted(version_of(module))}, {dotted(least)} is needed"
    if importlib.util.find_spec(AUGMENTATION) is None:
        return f"lacks {AUGMENTATION}, without which nothing would be augmented"
    found = version_of(AUGMENTATION)
    if found != AUGMENTATION_VERSION:
        return f"has {AUGMENTATION} {dotted(found)}, {dotted(AUGMENTATION_VERSION)} is needed"
    return ""


def version_of(distribution: str) -> tuple[int, ...]:
    """The first two numbers of a version, none where it is not known."""
    metadata = importlib.import_module("importlib.metadata")
    try:
        text = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def dotted(numbers: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(str(number) for number in numbers) or "of unknown version"


def find_data(inputs: Path) -> Path:
    """The folder with the competition's files; Kaggle has put them in two places."""
    folders = [inputs / name for name in INPUTS]
    for folder in folders:
        if all((folder / name).is_file() for name in FILES):
            return folder
    raise SystemExit(
        f"error: the competition's data is neither in {folders[0]} nor in {folders[1]}:"
        " accept its rules on Kaggle, then run 'make kernel FORCE=1'"
    )


def run_in(place: Path, source: Path, output: Path) -> int:
    """Unpack into `place` and train in a process of its own, whose workers start from a module."""
    package, request = place / "package", place / "request.json"
    unpack(base64.b64decode(PACKED), package)
    paths = [package, *standins(package, place / "standins")]
    request.write_text(REQUEST, encoding="utf-8")
    words = [str(path) for path in (request, source, place, output)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths)
    process = subprocess.Popen(
        [sys.executable, "-m", "digit_recognizer.on_kaggle", *words],
        cwd=package,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    # Its lines pass through here: a notebook shows only what its own process says.
    with process:
        for line in process.stdout or ():
            say(line.rstrip("\n"))
    return process.returncode


def unpack(packed: bytes, folder: Path) -> None:
    """Unpack a zip's bytes; nothing outside `folder` is ever written."""
    with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
        for name in bundle.namelist():
            if name != posixpath.normpath(name) or name.startswith(("/", "..")) or "\\" in name:
                raise SystemExit(f"error: the packed file {name!r} climbs out: not unpacked")
        bundle.extractall(folder)
    say(f"unpacked {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


def standins(package: Path, folder: Path) -> list[Path]:
    """Put a stand-in aside for each small package that is not installed; the paths to add."""
    absent = [name for name in STANDINS if importlib.util.find_spec(name) is None]
    for name in absent:
        source = package / "digit_recognizer" / "on_kaggle" / "standins" / name
        folder.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copyfile(source.with_suffix(".py"), folder / f"{name}.py")
        say(f"{name} is not installed: its stand-in is used")
    return [folder] if absent else []


def say(line: str) -> None:
    """Write a line to the log at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
