"""The competition's files: strict reading, strict writing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.storage.files import write_text
from digit_recognizer.storage.tables import FormatError, read_rows, read_table, write_table

PIXELS = [f"pixel{index}" for index in range(784)]
TRAIN_COLUMNS = ["label", *PIXELS]
SUBMISSION_COLUMNS = ["ImageId", "Label"]
DATA_FILES = ("train.csv", "test.csv", "sample_submission.csv")


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
        With the first line and column at fault.
    """
    table = read_table(path, TRAIN_COLUMNS, [9] + 784 * [255])
    return table[:, 1:].reshape(-1, 28, 28), table[:, 0].astype(np.int64)


def read_test(path: Path) -> NDArray[np.uint8]:
    """Images [M, 28, 28] uint8 of a ``test.csv``.

    Raises
    ------
    FormatError
        With the first line and column at fault.
    """
    return read_table(path, PIXELS, 784 * [255]).reshape(-1, 28, 28)


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
    rows = read_rows(path)
    _, header = next(rows)
    if header != SUBMISSION_COLUMNS:
        raise FormatError(
            f"{path}: the header is {','.join(header)[:80]!r}: it must be 'ImageId,Label',"
            " without an index column"
        )
    labels = [
        _submission_label(path, line, row, number) for number, (line, row) in enumerate(rows, 1)
    ]
    if n_rows is not None and len(labels) != n_rows:
        raise FormatError(
            f"{path}: has {len(labels)} rows: it must have {n_rows}, one for each row of test.csv"
        )
    if not labels:
        raise FormatError(f"{path}: has a header and no rows")
    return np.array(labels, dtype=np.int64)


def _submission_label(path: Path, line: int, row: list[str], number: int) -> int:
    if len(row) != 2:
        raise FormatError(f"{path}: line {line} has {len(row)} values: it must have 2")
    image_id, label = row
    if image_id != str(number):
        raise FormatError(f"{path}: line {line} has ImageId {image_id[:20]!r}: it must be {number}")
    if len(label) != 1 or label not in "0123456789":
        raise FormatError(
            f"{path}: line {line} has Label {label[:20]!r}: it must be a whole number, 0 to 9"
        )
    return int(label)


def write_submission(path: Path, labels: NDArray[np.integer]) -> None:
    """Write ``ImageId,Label`` with ids from 1, atomically."""
    rows = [f"{number},{label}" for number, label in enumerate(labels.tolist(), start=1)]
    write_text(path, "\n".join(["ImageId,Label", *rows]) + "\n")


def write_pixels(
    path: Path, images: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> None:
    """Write a ``train.csv`` (with labels) or ``test.csv`` (without), atomically."""
    table = images.reshape(len(images), 784)
    if labels is None:
        write_table(path, PIXELS, table)
    else:
        rows = np.column_stack([labels.astype(np.uint8), table])
        write_table(path, TRAIN_COLUMNS, rows)
