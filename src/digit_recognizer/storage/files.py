"""Atomic writes: a file is there whole, or as it was before."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


class StorageError(Exception):
    """Something on disk that a user can mend; the message is one line and says how."""


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place once written to the end.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; `path` is as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that their owner alone can read
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise StorageError(
                f"{path}: cannot be written ({reason}): make room or mend the permissions,"
                " then repeat the command"
            ) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` atomically."""
    with writing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` atomically as UTF-8 with plain newlines."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: object) -> None:
    """Write `content` atomically as JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    StorageError
        If the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise StorageError(f"{path}: is not a JSON object")
    return content


def sha256(path: Path) -> str:
    """Hex digest of a file's content (about 2 GB/s)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left anywhere in `folder`."""
    for path in folder.rglob(".tmp-*"):
        if path.is_file():
            path.unlink()
