"""The competition's files: strict reading, strict writing."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.storage.files import StorageError, write_bytes

PIXELS = [f"pixel{index}" for index in range(784)]
TRAIN_COLUMNS = ["label", *PIXELS]
SUBMISSION_COLUMNS = ["ImageId", "Label"]
DATA_FILES = ("train.csv", "test.csv", "sample_submission.csv")


class FormatError(StorageError):
    """A file that is not as the competition's rules have it."""


@dataclass(frozen=True)
class Competition:
    """A dataset in memory.

    ``images`` [N, 28, 28] uint8, ``labels`` [N] int64, ``test_images`` [M, 28, 28] uint8,
    ``solution`` [M] int64 where the labels of the test rows are known.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    solution: NDArray[np.int64] | None = None


def read_train(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images [N, 28, 28] uint8 and labels [N] int64 of a ``train.csv``.

    Raises
    ------
    FormatError
        With the first row and column at fault.
    """
    table = _read_table(path, TRAIN_COLUMNS, label_column=True)
    images = np.ascontiguousarray(table[:, 1:]).astype(np.uint8).reshape(-1, 28, 28)
    return images, table[:, 0].astype(np.int64)


def read_test(path: Path) -> NDArray[np.uint8]:
    """Images [M, 28, 28] uint8 of a ``test.csv``.

    Raises
    ------
    FormatError
        With the first row and column at fault.
    """
    return _read_table(path, PIXELS, label_column=False).astype(np.uint8).reshape(-1, 28, 28)


def read_submission(path: Path, n_rows: int | None) -> NDArray[np.int64]:
    """Labels [M] int64 of a submission, ``solution.csv`` or ``sample_submission.csv``.

    Parameters
    ----------
    path : a file with the header ``ImageId,Label``
    n_rows : how many rows there must be; any number if None

    Raises
    ------
    FormatError
        With the first line at fault.
    """
    with _open(path) as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if header != SUBMISSION_COLUMNS:
            raise FormatError(
                f"{path}: the header is {','.join(header)!r}: it must be 'ImageId,Label',"
                " without an index column"
            )
        labels = [_submission_label(path, number, row) for number, row in enumerate(lines, start=1)]
    if n_rows is not None and len(labels) != n_rows:
        raise FormatError(f"{path}: has {len(labels)} rows: it must have {n_rows}")
    return np.array(labels, dtype=np.int64)


def _submission_label(path: Path, number: int, row: list[str]) -> int:
    line = number + 1
    if len(row) != 2:
        raise FormatError(f"{path}: line {line} has {len(row)} values: it must have 2")
    if row[0] != str(number):
        raise FormatError(f"{path}: line {line} has ImageId {row[0]!r}: it must be {number}")
    if len(row[1]) != 1 or row[1] not in "0123456789":
        raise FormatError(
            f"{path}: line {line} has Label {row[1]!r}: it must be a whole number from 0 to 9"
        )
    return int(row[1])


def write_submission(path: Path, labels: NDArray[np.integer]) -> None:
    """Write ``ImageId,Label`` with ids from 1, atomically."""
    rows = [f"{number},{label}" for number, label in enumerate(labels.tolist(), start=1)]
    write_bytes(path, ("\n".join(["ImageId,Label", *rows]) + "\n").encode())


def write_pixels(
    path: Path, images: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> None:
    """Write a ``train.csv`` (with labels) or ``test.csv`` (without), atomically."""
    table = images.reshape(len(images), 784)
    columns = PIXELS
    if labels is not None:
        table = np.column_stack([labels.astype(np.uint8), table])
        columns = TRAIN_COLUMNS
    text = io.StringIO()
    pd.DataFrame(table, columns=columns).to_csv(text, index=False, lineterminator="\n")
    write_bytes(path, text.getvalue().encode())


def _read_table(path: Path, columns: list[str], label_column: bool) -> NDArray[np.int16]:
    """Rows of whole numbers under exactly these columns, parsed fast, explained slowly."""
    with _open(path) as file:
        try:
            header = next(csv.reader(file), [])
        except csv.Error as error:
            raise FormatError(f"{path}: is not a CSV file ({error})") from None
    _check_header(path, header, columns)
    try:
        frame = pd.read_csv(
            path, dtype=np.int16, index_col=False, na_filter=False, skip_blank_lines=False
        )
    except (ValueError, OverflowError, pd.errors.ParserError, UnicodeDecodeError):
        raise _first_fault(path, columns, label_column) from None
    table = frame.to_numpy()
    low, high = (table.min(), table.max()) if table.size else (0, 0)
    too_high = label_column and table.size and table[:, 0].max() > 9
    # pandas wraps 65536 round to 0 in silence, and cuts what stands beyond the last column,
    # so the size of the file must also be what these numbers would take at least.
    if low < 0 or high > 255 or too_high or _is_longer(path, table):
        raise _first_fault(path, columns, label_column)
    if not len(table):
        raise FormatError(f"{path}: has a header and no rows")
    return table


def _is_longer(path: Path, table: NDArray[np.int16]) -> bool:
    """Whether the file holds more bytes than its numbers, written plainly, would."""
    digits = table.size + int((table > 9).sum()) + int((table > 99).sum())
    with open(path, "rb") as file:
        head = len(file.readline())
    plain = head + digits + table.size  # one comma or newline after each number
    return path.stat().st_size not in (plain, plain - 1)


def _check_header(path: Path, header: list[str], columns: list[str]) -> None:
    if header == columns:
        return
    if len(header) != len(columns):
        raise FormatError(
            f"{path}: the header has {len(header)} columns: it must have {len(columns)},"
            f" {columns[0]} to {columns[-1]}"
        )
    place = next(i for i, (a, b) in enumerate(zip(header, columns, strict=True)) if a != b)
    raise FormatError(
        f"{path}: column {place + 1} is called {header[place]!r}: it must be {columns[place]!r}"
    )


def _first_fault(path: Path, columns: list[str], label_column: bool) -> FormatError:
    """Read line by line, slowly, to say where the first mistake is."""
    try:
        with _open(path) as file:
            reader = csv.reader(file)
            next(reader)
            for row in reader:
                fault = _row_fault(row, columns, label_column)
                if fault:
                    return FormatError(f"{path}: line {reader.line_num}{fault}")
    except UnicodeDecodeError:
        return FormatError(f"{path}: is not text: fetch it again")
    except csv.Error as error:
        return FormatError(f"{path}: is not a CSV file ({error}): fetch it again")
    return FormatError(
        f"{path}: its numbers are not written plainly (quotes, spaces, signs, leading zeros"
        " or carriage returns): write it again as plain comma-separated whole numbers"
    )


def _row_fault(row: list[str], columns: list[str], label_column: bool) -> str | None:
    if len(row) != len(columns):
        return f" has {len(row)} values: it must have {len(columns)}"
    for place, text in enumerate(row):
        highest = 9 if label_column and place == 0 else 255
        if not (text.isascii() and text.isdigit() and int(text) <= highest):
            found = repr(text[:20]) if text else "no value"
            return f" has {found} in {columns[place]}: it must be a whole number, 0 to {highest}"
    return None


def _open(path: Path) -> io.TextIOWrapper:
    try:
        return open(path, encoding="utf-8", newline="", errors="surrogateescape")
    except FileNotFoundError:
        raise FormatError(f"{path}: is not there: run 'make download'") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
