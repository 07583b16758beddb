"""The competition's files are read strictly: what is ambiguous is refused with its position."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.complaint import complaint

from digit_recognizer.data.competition import (
    PIXEL_COLUMNS,
    TRAIN_COLUMNS,
    read_submission,
    read_train,
    write_pixels,
    write_submission,
)
from digit_recognizer.errors import FormatError

HEADER = ",".join(TRAIN_COLUMNS)
ROW = ",".join(["7", *["0"] * 783, "255"])
SHORT_ROW = ROW.removesuffix(",255")


def train_csv(*rows: str, header: str = HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def with_value(value: str, column: int = 5) -> str:
    cells = ROW.split(",")
    cells[column] = value
    return ",".join(cells)


HEADER_IS = "its first line must be the header, label to pixel783, with commas"
BAD_TRAIN = {
    "nothing in it": (b"", HEADER_IS),
    "no header": (train_csv(header=ROW), HEADER_IS),
    "a test.csv": (train_csv(header=",".join(PIXEL_COLUMNS)), HEADER_IS),
    "pandas' index column": (train_csv(f"0,{ROW}", header=f",{HEADER}"), HEADER_IS),
    "semicolons": (train_csv(ROW).replace(b",", b";"), HEADER_IS),
    "a zip": (b"PK\x03\x04\x14\x00\xff\xfe\n", HEADER_IS),
    "header only": (train_csv(), "has a header and no rows"),
    "a column too few": (train_csv(SHORT_ROW), "has 784 values in a row: it must have 785"),
    "a million values": (train_csv("0," * 10**6 + "0"), "has 1000001 values in a row"),
    "a column too many": (
        train_csv(ROW, f"{ROW},1"),
        "the number of columns changed from 785 to 786 at row 2",
    ),
    "cut off inside a row": (
        train_csv(ROW, ROW, ROW)[:-900],
        "the number of columns changed from 785 to 337 at row 3",
    ),
    "an open quote": (train_csv(ROW, with_value('"0')), "the number of columns changed"),
    "bytes that are no text": (
        train_csv(ROW, ROW).replace(b"255\n", b"\xff\n"),
        "could not convert string '\ufffd' to uint8 at row 1, column 785",
    ),
    "a fault far down": (
        train_csv(*[ROW] * 2000, with_value("256")),
        "could not convert string '256' to uint8 at row 2001, column 6",
    ),
    "a label of 10": (
        train_csv(ROW, with_value("10", 0)),
        "has the label 10 in row 2: labels are 0 to 9",
    ),
}


def complaint_about(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return complaint(FormatError, read_train, path)


@pytest.mark.parametrize(("content", "fault"), BAD_TRAIN.values(), ids=BAD_TRAIN)
def test_a_malformed_train_csv_is_refused_with_the_position_of_its_fault(
    content: bytes, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    assert complaint_about(path, content).startswith(f"{path}: {fault}")


NOT_A_NUMBER = ["", "NaN", "dark", "0.5", "1.0", "1e2", "0x1", "1_0", "-1", "1 2", "\u0661", "0\0"]
TOO_LARGE = ["256", "65536", str(2**64 + 1), "9" * 10**4]  # 65536 could wrap to 0


@pytest.mark.parametrize("value", [*NOT_A_NUMBER, *TOO_LARGE], ids=ascii)
def test_a_pixel_that_is_no_whole_number_up_to_255_is_named(value: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    line = complaint_about(path, train_csv(ROW, with_value(value)))
    assert line.startswith(f"{path}: could not convert string {repr(value[:20])[:-1]}")
    assert line.endswith(" at row 2, column 6 (rows below the header)")


def test_a_file_of_900000_rows_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(train_csv(ROW))
    os.truncate(path, 900_000 * len(ROW))
    assert complaint(FormatError, read_train, path) == (
        f"{path}: has 1,414 MB, and at most 500 can be read: give a file of fewer rows"
    )


GOOD: dict[str, Callable[[bytes], bytes]] = {
    "as Kaggle serves it": lambda text: text,
    "line ends of Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "line ends of old Macs": lambda text: text.replace(b"\n", b"\r"),
    "no newline at the end": lambda text: text.removesuffix(b"\n"),
    "blank lines at the end": lambda text: text + b"\n\n",
    "Excel's mark of UTF-8": lambda text: b"\xef\xbb\xbf" + text,
    "R's quoted header": lambda text: re.sub(rb"[a-z]+\d*", rb'"\g<0>"', text),
    "all quoted": lambda text: re.sub(rb"\w+", rb'"\g<0>"', text),
    "spaces after commas": lambda text: text.replace(b",0", b", 0"),
    "leading zeros": lambda text: text.replace(b",0", b",000"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_train_csv_that_means_the_same_is_accepted(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(GOOD[kind](train_csv(ROW, with_value("13"), with_value("4", 0))))
    images, labels = read_train(path)
    assert labels.tolist() == [7, 7, 4]
    assert (images.dtype, images.shape) == (np.uint8, (3, 28, 28))
    assert images[:, 0, 4].tolist() == [0, 13, 0]
    assert images[:, 27, 27].tolist() == [255, 255, 255]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    line = complaint(FormatError, read_train, path)
    assert line == f"{path}: is not there: run 'make download'"


ROWS_ARE = "has {} rows: it must have 3, one for each row of test.csv"
BAD_SUBMISSION = {
    "no header": ("1,5\n2,6\n3,7\n", "its first line must be the header, ImageId to Label"),
    "a row too few": ("ImageId,Label\n1,5\n2,6\n", ROWS_ARE.format(2)),
    "a row too many": ("ImageId,Label\n1,5\n2,6\n3,7\n4,8\n", ROWS_ARE.format(4)),
    "ids from 0": ("ImageId,Label\n0,5\n1,6\n2,7\n", "has the ImageId 0 where 1 must be"),
    "an id twice": ("ImageId,Label\n1,5\n1,6\n3,7\n", "has the ImageId 1 where 2 must be"),
    "a label of 10": ("ImageId,Label\n1,5\n2,10\n3,7\n", "has the label 10 in row 2: labels are"),
    "a label of -1": ("ImageId,Label\n1,5\n2,-1\n3,7\n", "has the label -1 in row 2: labels are"),
    "a float": ("ImageId,Label\n1,5\n2,6.0\n3,7\n", "could not convert string '6.0' to int64 at"),
    "a label missing": ("ImageId,Label\n1,5\n2,\n3,7\n", "could not convert string '' to int64"),
    "a third value": ("ImageId,Label\n1,5,9\n", "has 3 values in a row: it must have 2"),
}


@pytest.mark.parametrize(("content", "fault"), BAD_SUBMISSION.values(), ids=BAD_SUBMISSION)
def test_a_malformed_submission_is_refused_with_the_position_of_its_fault(
    content: str, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text(content, encoding="utf-8")
    assert complaint(FormatError, read_submission, path, 3).startswith(f"{path}: {fault}")


def test_what_is_written_is_byte_for_byte_the_competitions_form(tmp_path: Path) -> None:
    images = np.zeros((1, 28, 28), dtype=np.uint8)
    images[0, 27, 27] = 255
    write_pixels(tmp_path / "train.csv", images, np.array([7]))
    assert (tmp_path / "train.csv").read_bytes() == train_csv(ROW)
    write_pixels(tmp_path / "test.csv", images)
    pixels = train_csv(ROW.removeprefix("7,"), header=HEADER.removeprefix("label,"))
    assert (tmp_path / "test.csv").read_bytes() == pixels
    write_submission(tmp_path / "submission.csv", np.array([5, 0]))
    assert (tmp_path / "submission.csv").read_bytes() == b"ImageId,Label\n1,5\n2,0\n"
