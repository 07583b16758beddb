"""CSV tables of small whole numbers: read strictly and fast, written fast."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.storage.files import StorageError, writing

CHUNK = 1 << 20  # bytes of text parsed at once: its arrays still fit into the cache
COMMA, NEWLINE, NINE = b",\n9"
UTF8_MARK = b"\xef\xbb\xbf"  # Excel's "CSV UTF-8" begins with it


class FormatError(StorageError):
    """A file that is not as the competition's rules have it."""


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of each row, the header first; blank lines at the end left out.

    Raises
    ------
    FormatError
        If the file is missing, empty or not a CSV file.
    """
    yield from _rows(path, _content(path), first_line=1)


def read_table(path: Path, columns: Sequence[str], highest: Sequence[int]) -> NDArray[np.uint8]:
    """Whole numbers [N, C] uint8, each at most its column's `highest` [C].

    Line ends of any system, quotes, spaces around numbers and a missing last newline are
    accepted. 42,000 rows of 785 plainly written numbers take 0.4 s on 2 cores, quoted ones 15 s.

    Raises
    ------
    FormatError
        With the first line and column at fault.
    """
    content = _content(path)
    end_of_header = content.find(b"\n") + 1 or len(content)
    _, header = next(_rows(path, content[:end_of_header], first_line=1))
    _check_header(path, header, columns)
    if end_of_header == len(content):
        raise FormatError(f"{path}: has a header and no rows")
    table = _plain_table(content, end_of_header, np.array(highest))
    if table is None:
        rows = _rows(path, content[end_of_header:], first_line=2)
        table = np.stack([_numbers(path, *row, columns, highest) for row in rows])
    return table


def write_table(path: Path, columns: Sequence[str], table: NDArray[np.uint8]) -> None:
    """Write numbers [N, C] uint8 under their columns' names, atomically."""
    digits = np.frombuffer(b"".join(b"%-3d," % value for value in range(256)), dtype=np.uint8)
    texts = digits.reshape(256, 4)
    with writing(path) as file:
        file.write(",".join(columns).encode() + b"\n")
        for start in range(0, len(table), 1000):
            cells = texts[table[start : start + 1000]]  # [n, C, 4]
            cells[:, -1, 3] = NEWLINE
            file.write(cells[cells != ord(" ")].tobytes())


def _content(path: Path) -> bytes:
    """The file's bytes with plain newlines, without what is blank at its end."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path}: is not there: run 'make download'") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
    content = content.removeprefix(UTF8_MARK)
    if b"\r" in content:  # Windows writes \r\n, old Macs \r
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content[-2:] == b"\n\n":
        content = content.rstrip(b"\n")
    if not content.strip():
        raise FormatError(f"{path}: is empty: fetch it again")
    return content


def _rows(path: Path, content: bytes, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Read what need not be plainly written, row by row."""
    try:
        reader = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        for row in reader:
            yield first_line - 1 + reader.line_num, row
    except UnicodeDecodeError:
        raise FormatError(f"{path}: is not text in UTF-8: fetch it again") from None
    except csv.Error as error:
        line = first_line - 1 + reader.line_num
        raise FormatError(f"{path}: line {line} is not CSV ({error}): fetch it again") from None


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    if header == list(columns):
        return
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise FormatError(
            f"{path}: its values are separated by semicolons or tabs: save it with commas"
        )
    if len(header) != len(columns):
        raise FormatError(
            f"{path}: the header has {len(header)} columns: it must have {len(columns)},"
            f" {columns[0]} to {columns[-1]}"
        )
    place = next(i for i, (a, b) in enumerate(zip(header, columns, strict=True)) if a != b)
    raise FormatError(
        f"{path}: column {place + 1} is called {header[place][:40]!r}:"
        f" it must be {columns[place]!r}"
    )


def _numbers(
    path: Path, line: int, row: list[str], columns: Sequence[str], highest: Sequence[int]
) -> NDArray[np.uint8]:
    if len(row) != len(columns):
        raise FormatError(f"{path}: line {line} has {len(row)} values: it must have {len(columns)}")
    numbers = []
    for text, name, most in zip(row, columns, highest, strict=True):
        digits = text.strip(" ")
        # the length first: turning a million digits into a number takes minutes
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= most):
            found = repr(text[:20]) if text else "no value"
            raise FormatError(
                f"{path}: line {line} has {found} in {name}: it must be a whole number, 0 to {most}"
            )
        numbers.append(int(digits))
    return np.array(numbers, dtype=np.uint8)


def _plain_table(
    content: bytes, start: int, highest: NDArray[np.integer]
) -> NDArray[np.uint8] | None:
    """The numbers from byte `start` on, if all of them are plainly written and small enough."""

    def parse(chunk: bytes) -> NDArray[np.uint8] | None:
        return _plain_chunk(chunk, highest)

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # numpy lets go of the GIL
        parts = list(threads.map(parse, _chunks(content, start)))
    good = [part for part in parts if part is not None]
    return np.concatenate(good) if len(good) == len(parts) else None


def _chunks(content: bytes, start: int) -> Iterable[bytes]:
    """Whole lines, each ended by a newline."""
    while start < len(content):
        end = content.find(b"\n", start + CHUNK) + 1 or len(content)
        chunk = content[start:end]
        yield chunk if chunk.endswith(b"\n") else chunk + b"\n"
        start = end


def _plain_chunk(chunk: bytes, highest: NDArray[np.integer]) -> NDArray[np.uint8] | None:
    """Numbers [n, C] of lines that hold digits, commas and newlines only, each in its place."""
    text = np.frombuffer(chunk, dtype=np.uint8)
    ends = np.flatnonzero(text < ord("0"))  # one after each number
    if text.max() > NINE or len(ends) % len(highest):
        return None
    marks = text[ends].reshape(-1, len(highest))
    if (marks[:, -1] != NEWLINE).any() or (marks[:, :-1] != COMMA).any():
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        return None
    digits = (text - np.uint8(ord("0"))).astype(np.int16)
    numbers = digits[ends - 1]
    numbers += digits[ends - 2] * (lengths > 1) * np.int16(10)
    numbers += digits[ends - 3] * (lengths > 2) * np.int16(100)
    table = numbers.reshape(-1, len(highest))
    return table.astype(np.uint8) if (table.max(axis=0) <= highest).all() else None
