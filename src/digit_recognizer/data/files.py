"""Atomic writes (a write that fails leaves the old file), strict reads, and locks."""

import csv
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from digit_recognizer.errors import FileError, UserError

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")
TransferProgress = Callable[[str, int, int], None]  # what, bytes done, bytes in all
MAX_NUMBER = 2**63  # numbers in files are smaller, and finite


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` once it is written to the end."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            advice = "make room or fix the permissions, then repeat the command"
            raise FileError(f"{path}: cannot be written ({reason}): {advice}") from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` atomically."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` atomically as UTF-8 with plain newlines."""
    write_bytes(path, content.encode())


def write_csv(path: Path, content: Any, float_format: str | None = None) -> None:
    """Write a table atomically, without an index and with plain newlines.

    `content` is a DataFrame, or anything that its constructor takes.
    """
    import pandas as pd

    table = pd.DataFrame(content)
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def write_json(path: Path, content: object) -> None:
    """Write `content`, which may be or hold dataclasses, atomically as indented JSON."""
    write_text(path, json.dumps(content, indent=2, default=asdict) + "\n")


def read_json(path: Path, advice: str = "") -> dict[str, Any]:
    """Read a JSON object of finite numbers; `advice` tells what to do about a damaged one."""
    remedy = f": {advice}" if advice else ""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_number)
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: cannot be read ({type(error).__name__}){remedy}") from None
    if not isinstance(content, dict):
        raise FileError(f"{path}: is not a JSON object{remedy}")
    return content


def _number(text: str) -> float:
    if not abs(number := float(text)) < MAX_NUMBER:
        raise ValueError(f"{text[:20]} is out of range")
    return int(text) if text.removeprefix("-").isdigit() else number


def read_json_as(path: Path, type_: type[T], advice: str) -> T:
    """Read a JSON object as the dataclass `type_`, and check the type of every field.

    `advice` tells what to do about a file of another structure.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        content = json.dumps(read_json(path, advice))
        return TypeAdapter(type_).validate_json(content, strict=True)
    except ValidationError as error:
        raise FileError(f"{path}: {_first_fault(error)}: {advice}") from None


def read_csv_as(path: Path, type_: type[T], advice: str) -> list[T]:
    """Read each row of a CSV file as the dataclass `type_`; empty values have its defaults.

    Numbers must be finite. `advice` tells what to do about a file of another structure.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter, rows = TypeAdapter(type_), []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for row in reader:
                rows.append(adapter.validate_python({key: row[key] for key in row if row[key]}))
                numbers = [v for v in vars(rows[-1]).values() if isinstance(v, int | float)]
                if not all(abs(number) < MAX_NUMBER for number in numbers):
                    raise ValueError("a number is not finite")
            if reader.fieldnames is None:
                raise ValueError("the file is empty")
    except PermissionError:
        raise
    except ValidationError as error:
        fault = f"line {reader.line_num}: {_first_fault(error)}"
        raise FileError(f"{path}: {fault}: {advice}") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path}: cannot be read ({reason}): {advice}") from None
    return rows


def _first_fault(error: "ValidationError") -> str:
    fault = error.errors(include_url=False)[0]
    name = ".".join(map(str, fault["loc"])) or "the content"
    return f"{name}: {fault['msg'].lower()}"


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as an npz file, atomically."""
    import numpy as np

    with atomic_write(path) as file:
        np.savez(file, **arrays)  # allow_pickle=False would be an array before numpy 2.1


def read_arrays(path: Path) -> dict[str, Any]:
    """Read the arrays of an npz file by name; its errors are those of `np.load`."""
    import numpy as np

    # Opened here, because np.load leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def sha256(path: Path) -> str:
    """Return the hex digest of a file's content (about 2 GB/s)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left anywhere in `folder`."""
    for path in folder.rglob(".tmp-*"):
        if path.is_file():
            path.unlink()


def is_bad_zip(error: Exception) -> bool:
    """Return whether an error in reading a zip is about its bytes, and not about the disk."""
    if isinstance(error, OSError):  # bz2's have no number; a seek before the start is EINVAL
        return error.errno in (None, errno.EINVAL)
    return not isinstance(error, UserError)


def lock(path: Path, taken: str) -> AbstractContextManager[object]:
    """Take a lock, which the end of the `with` block releases.

    `taken` is the error message if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(path).acquire(timeout=0)
    except Timeout:
        raise FileError(taken) from None
