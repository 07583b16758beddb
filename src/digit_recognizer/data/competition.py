"""The competition's CSV files, read and written strictly."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.files import write_csv
from digit_recognizer.errors import FormatError

DATA_FILES = ("train.csv", "test.csv", "sample_submission.csv")
PIXEL_COLUMNS = [f"pixel{index}" for index in range(784)]
TRAIN_COLUMNS = ["label", *PIXEL_COLUMNS]
SUBMISSION_COLUMNS = ["ImageId", "Label"]
MAX_CSV_MB = 500  # Kaggle's train.csv has 77 MB, with quotes 150


def check_csv_size(path: str | Path, n_bytes: int) -> None:
    """Refuse a file that would fill the memory; call it before reading or unpacking."""
    if n_bytes > MAX_CSV_MB * 10**6:
        found = f"has {n_bytes / 10**6:,.0f} MB, and at most {MAX_CSV_MB} can be read"
        raise FormatError(f"{path}: {found}: give a file of fewer rows")


def read_train(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images [N, 28, 28] uint8 and labels [N] int64 of a ``train.csv``."""
    table = _read_table(path, TRAIN_COLUMNS, np.uint8)
    return table[:, 1:].reshape(-1, 28, 28), _checked_labels(path, table[:, 0])


def read_test(path: Path) -> NDArray[np.uint8]:
    """Return the images [M, 28, 28] uint8 of a ``test.csv``."""
    return _read_table(path, PIXEL_COLUMNS, np.uint8).reshape(-1, 28, 28)


def write_pixels(
    path: Path, images: NDArray[np.uint8], labels: NDArray[np.integer] | None = None
) -> None:
    """Write a ``train.csv`` (with labels) or ``test.csv`` (without), atomically."""
    pixels = dict(zip(PIXEL_COLUMNS, images.reshape(len(images), 784).T, strict=True))
    write_csv(path, pixels if labels is None else {"label": labels, **pixels})


def read_submission(path: Path, n_rows: int | None) -> NDArray[np.int64]:
    """Return the labels [M] int64 of a submission, ``solution.csv`` or ``sample_submission.csv``.

    There must be `n_rows` rows; any number if None.
    """
    ids, labels = _read_table(path, SUBMISSION_COLUMNS, np.int64).T
    for wanted, found in enumerate(ids.tolist(), 1):
        if found != wanted:
            raise FormatError(f"{path}: has the ImageId {found} where {wanted} must be")
    if n_rows is not None and len(labels) != n_rows:
        needed = f"{n_rows}, one for each row of test.csv"
        raise FormatError(f"{path}: has {len(labels)} rows: it must have {needed}")
    return _checked_labels(path, labels)


def write_submission(path: Path, labels: NDArray[np.integer]) -> None:
    """Write ``ImageId,Label`` with ids from 1, atomically."""
    write_csv(path, {"ImageId": range(1, len(labels) + 1), "Label": labels})


def _read_table(path: Path, columns: list[str], dtype: type[np.integer]) -> NDArray[Any]:
    """Return whole numbers [N, C], which may be quoted, with the line ends of any system."""
    try:
        check_csv_size(path, path.stat().st_size)
        # The encoding skips the mark of Excel's "CSV UTF-8".
        with (
            open(path, encoding="utf-8-sig", errors="replace") as file,
            warnings.catch_warnings(action="error"),  # numpy only warns of 1.0, and of no rows
        ):
            header = file.readline().rstrip("\n").replace('"', "")
            if header.split(",") != columns:
                wanted = f"the header, {columns[0]} to {columns[-1]}, with commas"
                raise FormatError(f"{path}: its first line must be {wanted}")
            table = np.loadtxt(file, dtype, comments=None, delimiter=",", quotechar='"', ndmin=2)
    except FileNotFoundError:
        raise FormatError(f"{path}: is not there: run 'make download'") from None
    except UserWarning:
        raise FormatError(f"{path}: has a header and no rows") from None
    except ValueError as error:
        fault = str(error).partition("; use `usecols`")[0].rstrip(".")  # advice for programmers
        # numpy counts rows from 1 where their lengths differ, but from 0 where a value is wrong.
        fault = re.sub(r"at row (\d+)(?=, column)", lambda row: f"at row {int(row[1]) + 1}", fault)
        raise FormatError(f"{path}: {fault} (rows below the header)") from None
    if table.shape[1] != len(columns):
        found = f"{table.shape[1]} values in a row"
        raise FormatError(f"{path}: has {found}: it must have {len(columns)}")
    return table


def _checked_labels(path: Path, labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return labels [N] that are all digits."""
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if wrong.size:
        found = f"the label {labels[wrong[0]]} in row {wrong[0] + 1}"
        raise FormatError(f"{path}: has {found}: labels are 0 to 9")
    return labels.astype(np.int64)
