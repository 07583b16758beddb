"""This package and a request, packed into one Python script: a kernel is one file."""

import base64
import io
import json
import textwrap
import zipfile
from pathlib import Path
from typing import Any

from digit_recognizer.storage.files import StorageError

PACKAGE = Path(__file__).parents[1]
LAUNCHER = PACKAGE / "on_kaggle" / "launcher.py"
LARGEST = 1_000_000  # Kaggle refuses larger scripts
COMMIT_NOTE = "commit.json"  # travels in the place of git, beside environment.py


def script(run_name: str, request: dict[str, Any], commit: tuple[str | None, bool | None]) -> str:
    """A script that trains `request` wherever Kaggle's data and image are.

    Parameters
    ----------
    commit : of this package, and whether it was changed since

    Raises
    ------
    StorageError
        If it is larger than Kaggle takes.
    """
    packed = base64.b64encode(packed_package(commit)).decode()
    asked = json.dumps({"run": run_name, "request": request})
    text = _filled(LAUNCHER.read_text(encoding="utf-8"), "REQUEST", "{}", repr(asked))
    text = _filled(text, "PACKED", "", f'"""\n{textwrap.fill(packed, 100)}\n"""')
    if len(text.encode()) > LARGEST:
        raise StorageError(f"{PACKAGE}: is too large for a kernel, {len(text)} bytes: make it less")
    return text


def packed_package(commit: tuple[str | None, bool | None]) -> bytes:
    """The package's files as a zip: the same bytes for the same files."""
    note = json.dumps(dict(zip(("commit", "dirty"), commit, strict=True)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(zipfile.ZipInfo(f"{PACKAGE.name}/{COMMIT_NOTE}"), note)
        for path in sorted(PACKAGE.rglob("*")):
            inside = path.relative_to(PACKAGE.parent)
            if path.is_file() and "__pycache__" not in inside.parts and path.name[0] != ".":
                # ZipInfo's own date is a constant, a file's is not
                entry = zipfile.ZipInfo(inside.as_posix())
                bundle.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _filled(text: str, name: str, default: str, value: str) -> str:
    before = f'\n{name} = "{default}"\n'
    if text.count(before) != 1:
        raise AssertionError(f"{LAUNCHER} has no constant {name}")
    return text.replace(before, f"\n{name} = {value}\n")
