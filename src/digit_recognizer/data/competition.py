"""The competition's CSV files, read and written strictly, and the types of a dataset.

pandas is imported by the functions that parse or write a table: it takes half a second, and a
dataset is mostly read from its array cache.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.files import write_csv
from digit_recognizer.errors import FormatError

DATA_FILES = ("train.csv", "test.csv", "sample_submission.csv")
PIXELS = [f"pixel{index}" for index in range(784)]
TRAIN_COLUMNS = ["label", *PIXELS]
SUBMISSION_COLUMNS = ["ImageId", "Label"]
UTF8_MARK = b"\xef\xbb\xbf"  # Excel's "CSV UTF-8" begins with it
# Kaggle's train.csv has 77 MB, with quotes 150; reading takes 4 times the file's size.
MAX_CSV_MB = 500


@dataclass(frozen=True)
class Provenance:
    """The origin of a dataset: the content of ``source.json``."""

    source: str
    version: str  # of the source's content: sizes and dates of a user's own files
    fetched: str
    may_submit: bool  # false for data with the answers (`mnist`) or of others (`sample`)
    repeats: int  # test images that are also training rows
    sha256: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory."""

    images: NDArray[np.uint8]  # [N, 28, 28]
    labels: NDArray[np.int64]  # [N]
    test_images: NDArray[np.uint8]  # [M, 28, 28]
    solution: NDArray[np.int64] | None = None  # [M], where the labels of the test rows are known
    provenance: Provenance | None = None  # where it was loaded from a verified folder

    def first_rows(self) -> NDArray[np.int64]:
        """Return for each training row [N] the first row with the same image."""
        firsts: dict[bytes, int] = {}  # 0.03 s for 42,000 rows
        rows = [firsts.setdefault(image.tobytes(), row) for row, image in enumerate(self.images)]
        return np.array(rows, dtype=np.int64)

    @property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each file that it was loaded from; none for arrays of one's own."""
        return self.provenance.sha256 if self.provenance else {}

    @property
    def n_duplicates(self) -> int:
        """The number of training rows whose image an earlier row has too."""
        return int((self.first_rows() != np.arange(len(self.images))).sum())


def check_csv_size(path: str | Path, n_bytes: int) -> None:
    """Refuse a file that would fill the memory; call it before reading or unpacking."""
    if n_bytes > MAX_CSV_MB * 10**6:
        found = f"has {n_bytes / 10**6:,.0f} MB, and at most {MAX_CSV_MB} can be read"
        raise FormatError(f"{path}: {found}: give a file of fewer rows")


def read_train(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images [N, 28, 28] uint8 and labels [N] int64 of a ``train.csv``."""
    table = _read_table(path, TRAIN_COLUMNS)
    return table[:, 1:].reshape(-1, 28, 28), table[:, 0].astype(np.int64)


def read_test(path: Path) -> NDArray[np.uint8]:
    """Return the images [M, 28, 28] uint8 of a ``test.csv``."""
    return _read_table(path, PIXELS).reshape(-1, 28, 28)


def write_pixels(
    path: Path, images: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> None:
    """Write a ``train.csv`` (with labels) or ``test.csv`` (without), atomically."""
    table = images.reshape(len(images), 784)
    if labels is None:
        _write_table(path, PIXELS, table)
    else:
        _write_table(path, TRAIN_COLUMNS, np.column_stack([labels.astype(np.uint8), table]))


def read_submission(path: Path, n_rows: int | None) -> NDArray[np.int64]:
    """Return the labels [M] int64 of a submission, ``solution.csv`` or ``sample_submission.csv``.

    There must be `n_rows` rows; any number if None.
    """
    rows = _read_rows(path, _read_content(path), SUBMISSION_COLUMNS)
    next(rows)  # the header
    labels: list[int] = []
    for line, row in rows:
        [label] = _parse_numbers(path, line, row[1:], ["Label"])
        labels.append(label)
        if (found := ",".join(row)) != (wanted := f"{len(labels)},{label}"):
            raise FormatError(f"{path}: line {line} is {found[:40]!r}: it must be {wanted!r}")
    if n_rows is not None and len(labels) != n_rows:
        raise FormatError(
            f"{path}: has {len(labels)} rows: it must have {n_rows}, one for each row of test.csv"
        )
    return np.array(labels, dtype=np.int64)


def write_submission(path: Path, labels: NDArray[np.integer]) -> None:
    """Write ``ImageId,Label`` with ids from 1, atomically."""
    ids = np.arange(1, len(labels) + 1)
    _write_table(path, SUBMISSION_COLUMNS, np.column_stack([ids, labels]))


def _write_table(path: Path, columns: list[str], table: NDArray[np.integer]) -> None:
    import pandas as pd

    write_csv(path, pd.DataFrame(table, columns=columns))


def _read_table(path: Path, columns: list[str]) -> NDArray[np.uint8]:
    """Return whole numbers [N, C] uint8; labels are at most 9.

    Line ends of any system, quotes, spaces around numbers and a missing last newline are
    accepted. 42,000 rows of plainly written numbers take 1 s, quoted ones 15 s.
    """
    content = _read_content(path)
    rows = _read_rows(path, content, columns)
    next(rows)  # the header
    table = _parse_fast(content.partition(b"\n")[2], columns)
    if table is None:
        table = np.stack([_parse_numbers(path, line, row, columns) for line, row in rows])
    return table


def _parse_fast(body: bytes, columns: list[str]) -> NDArray[np.uint8] | None:
    """Parse rows that hold digits and commas only; return None where any is wrong."""
    import pandas as pd

    if body.translate(None, b"0123456789,\r\n"):  # pandas would accept signs, spaces and zero bytes
        return None
    # Looked at first, or a broken file would become a frame of millions of columns.
    if body.partition(b"\n")[0].count(b",") != len(columns) - 1:
        return None
    try:
        # Without names and header, the first row sets the width: a surplus value is an error,
        # and a missing one is NaN, which is no uint8.
        frame = pd.read_csv(
            io.BytesIO(body), header=None, dtype=np.uint8, skip_blank_lines=False, engine="c"
        )
    except (ValueError, OverflowError):
        return None
    table = np.array(frame, order="C")  # a copy: pandas' own array is read-only
    return table if (table.max(axis=0) <= [_highest(name) for name in columns]).all() else None


def _highest(column: str) -> int:
    """Return the highest value that a column may have."""
    return 255 if column.startswith("pixel") else 9


def _read_content(path: Path) -> bytes:
    """Return the file's bytes without blank lines at the end."""
    try:
        check_csv_size(path, path.stat().st_size)
        content = path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path}: is not there: run 'make download'") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
    content = content.removeprefix(UTF8_MARK).rstrip(b"\r\n")
    if not content:
        raise FormatError(f"{path}: is empty: fetch it again")
    return content


def _read_rows(path: Path, content: bytes, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the values of the header, and then of each row."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), strict=True)
    row = None
    try:
        header = next(reader)
        _check_header(path, header, columns)
        yield 1, header
        for row in reader:
            if len(row) != len(columns):
                found = f"line {reader.line_num} has {len(row)} values"
                raise FormatError(f"{path}: {found}: it must have {len(columns)}")
            yield reader.line_num, row
    except UnicodeDecodeError:
        raise FormatError(f"{path}: is not text in UTF-8: fetch it again") from None
    except csv.Error as error:
        fault = f"line {reader.line_num} is not CSV ({error})"
        raise FormatError(f"{path}: {fault}: fetch it again") from None
    if row is None:
        raise FormatError(f"{path}: has a header and no rows")


def _check_header(path: Path, header: list[str], columns: list[str]) -> None:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        fault = "its values are separated by semicolons or tabs: save it with commas"
        raise FormatError(f"{path}: {fault}")
    if len(header) != len(columns):
        raise FormatError(
            f"{path}: the header has {len(header)} columns: it must have {len(columns)},"
            f" {columns[0]} to {columns[-1]}"
        )
    for number, (found, wanted) in enumerate(zip(header, columns, strict=True), 1):
        if found != wanted:
            fault = f"column {number} is called {found[:40]!r}"
            raise FormatError(f"{path}: {fault}: it must be {wanted!r}")


def _parse_numbers(path: Path, line: int, row: list[str], columns: list[str]) -> NDArray[np.uint8]:
    """Return a row's numbers [C] uint8."""
    numbers = []
    for text, name in zip(row, columns, strict=True):
        digits, limit = text.strip(" "), _highest(name)
        # the length first: turning a million digits into a number takes minutes
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 20
        if not is_number or int(digits) > limit:
            found = f"line {line} has {repr(text[:20]) if text else 'no value'} in {name}"
            raise FormatError(f"{path}: {found}: it must be a whole number, 0 to {limit}")
        numbers.append(int(digits))
    return np.array(numbers, dtype=np.uint8)
