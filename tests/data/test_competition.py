"""The competition's files are read strictly: what is ambiguous is refused with its position."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.small import images

from digit_recognizer.data import competition
from digit_recognizer.data.competition import (
    PIXELS,
    TRAIN_COLUMNS,
    read_submission,
    read_test,
    read_train,
    write_pixels,
    write_submission,
)
from digit_recognizer.errors import FormatError

HEADER = ",".join(TRAIN_COLUMNS)
ROW = ",".join(["7", *["0"] * 783, "255"])
SHORT_ROW = ROW.removesuffix(",255")


def train_csv(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return (end.join([header, *rows]) + end).encode()


def with_value(value: str, column: int = 5) -> str:
    cells = ROW.split(",")
    cells[column] = value
    return ",".join(cells)


COLUMNS_ARE = "the header has {} columns: it must have 785, label to pixel783"
TOO_MANY = "line {} has 786 values: it must have 785"
SEPARATOR = "its values are separated by semicolons or tabs: save it with commas"
NO_TEXT = "is not text in UTF-8: fetch it again"
BAD_TRAIN = {
    "nothing in it": (b"", "is empty: fetch it again"),
    "blank lines only": (b"\n\n\n", "is empty: fetch it again"),
    "header only": (train_csv(), "has a header and no rows"),
    "no header": (train_csv(header=ROW), "column 1 is called '7': it must be 'label'"),
    "a test.csv": (train_csv(header=",".join(PIXELS)), COLUMNS_ARE.format(784)),
    "pandas' index column": (train_csv(f"0,{ROW}", header=f",{HEADER}"), COLUMNS_ARE.format(786)),
    "a name twice": (
        train_csv(ROW, header=HEADER.replace("pixel9,", "pixel8,")),
        "column 11 is called 'pixel8': it must be 'pixel9'",
    ),
    "semicolons": (train_csv(ROW).replace(b",", b";"), SEPARATOR),
    "a login page": (b"<!DOCTYPE html>\n<html></html>\n", COLUMNS_ARE.format(1)),
    "a zip": (b"PK\x03\x04\x14\x00\xff\xfe\n", NO_TEXT),
    "a column too few": (train_csv(ROW, SHORT_ROW), "line 3 has 784 values: it must have 785"),
    "a column too many": (train_csv(ROW, f"{ROW},1"), TOO_MANY.format(3)),
    "a value moved to the next line": (train_csv(f"{ROW},1", SHORT_ROW), TOO_MANY.format(2)),
    "cut off inside a row": (
        train_csv(ROW, ROW)[:-900],
        "line 3 has 337 values: it must have 785",
    ),
    "a blank line between": (train_csv(ROW, "", ROW), "line 3 has 0 values: it must have 785"),
    "a missing last value": (
        train_csv(ROW, with_value("", 784)),
        "line 3 has no value in pixel783: it must be a whole number, 0 to 255",
    ),
    "an open quote": (
        train_csv(ROW, with_value('"0')),
        "line 3 is not CSV (unexpected end of data): fetch it again",
    ),
    "bytes that are no text": (train_csv(ROW, ROW).replace(b"255\n", b"\xff\n"), NO_TEXT),
    "a fault far down": (
        train_csv(*[ROW] * 2000, with_value("256")),
        "line 2002 has '256' in pixel4: it must be a whole number, 0 to 255",
    ),
    "a million values": (
        train_csv("0," * 10**6 + "0"),
        "line 2 has 1000001 values: it must have 785",
    ),
}


def complaint_about(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_train(path)
    return str(caught.value)


@pytest.mark.parametrize("kind", BAD_TRAIN)
def test_a_malformed_train_csv_is_refused_with_the_position_of_its_fault(
    kind: str, tmp_path: Path
) -> None:
    content, complaint = BAD_TRAIN[kind]
    path = tmp_path / "train.csv"
    assert complaint_about(path, content) == f"{path}: {complaint}"


NOT_A_NUMBER = ["NaN", "NA", "dark", "0.5", "1.0", "1e2", "0x1", "1_0", "+1", "-1", "-0", "1 2"]
TOO_LARGE = ["256", "1000", "65536", str(2**64 + 1), "9" * 10**4]  # 65536 wraps to 0
ODD_TEXT = ["\u0661", "0\0", "\t1", "true", "'1'"]


@pytest.mark.parametrize("value", ["", *NOT_A_NUMBER, *TOO_LARGE, *ODD_TEXT], ids=ascii)
def test_a_pixel_that_is_no_whole_number_up_to_255_is_named(value: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    found = repr(value[:20]) if value else "no value"
    assert complaint_about(path, train_csv(ROW, with_value(value))) == (
        f"{path}: line 3 has {found} in pixel4: it must be a whole number, 0 to 255"
    )


@pytest.mark.parametrize("value", ["", "10", "-1", "seven"])
def test_a_label_that_is_no_digit_is_named(value: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    found = repr(value) if value else "no value"
    assert complaint_about(path, train_csv(ROW, with_value(value, 0))) == (
        f"{path}: line 3 has {found} in label: it must be a whole number, 0 to 9"
    )


def test_a_file_of_900000_rows_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(train_csv(ROW))
    os.truncate(path, 900_000 * len(ROW))
    with pytest.raises(FormatError) as caught:
        read_train(path)
    assert str(caught.value) == (
        f"{path}: has 1,414 MB, and at most 500 can be read: give a file of fewer rows"
    )


def quoted(text: bytes, quoting: int) -> bytes:
    out = io.StringIO()
    rows = csv.reader(io.StringIO(text.decode()))
    cells = [[int(cell) if cell.isdigit() else cell for cell in row] for row in rows]
    csv.writer(out, quoting=quoting, lineterminator="\n").writerows(cells)  # type: ignore[arg-type]
    return out.getvalue().encode()


GOOD: dict[str, Callable[[bytes], bytes]] = {
    "as Kaggle serves it": lambda text: text,
    "line ends of Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "line ends of old Macs": lambda text: text.replace(b"\n", b"\r"),
    "no newline at the end": lambda text: text.removesuffix(b"\n"),
    "blank lines at the end": lambda text: text + b"\n\n",
    "Excel's mark of UTF-8": lambda text: b"\xef\xbb\xbf" + text,
    "R's quoted header": lambda text: quoted(text, csv.QUOTE_NONNUMERIC),
    "all quoted": lambda text: quoted(text, csv.QUOTE_ALL),
    "spaces after commas": lambda text: text.replace(b",0", b", 0"),
    "leading zeros": lambda text: text.replace(b",0", b",000"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_train_csv_that_means_the_same_is_accepted(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(GOOD[kind](train_csv(ROW, with_value("13"), with_value("4", 0))))
    images, labels = read_train(path)
    assert labels.tolist() == [7, 7, 4]
    assert images.dtype == np.uint8
    assert images.shape == (3, 28, 28)
    assert images[:, 0, 4].tolist() == [0, 13, 0]
    assert images[:, 27, 27].tolist() == [255, 255, 255]


def test_a_missing_file_and_a_folder_are_no_csv(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"train\.csv: is not there: run 'make download'$"):
        read_train(tmp_path / "train.csv")
    (tmp_path / "test.csv").mkdir()
    with pytest.raises(FormatError, match=r"test\.csv: cannot be read \(Is a directory\)$"):
        read_test(tmp_path / "test.csv")


ROWS_ARE = "has {} rows: it must have 3, one for each row of test.csv"
LABEL_IS = "line {} has {} in Label: it must be a whole number, 0 to 9"
BAD_SUBMISSION = {
    "nothing in it": ("", "is empty: fetch it again"),
    "header only": ("ImageId,Label\n", "has a header and no rows"),
    "an index column": (
        ",ImageId,Label\n0,1,5\n",
        "the header has 3 columns: it must have 2, ImageId to Label",
    ),
    "no header": ("1,5\n2,6\n3,7\n", "column 1 is called '1': it must be 'ImageId'"),
    "a row too few": ("ImageId,Label\n1,5\n2,6\n", ROWS_ARE.format(2)),
    "a row too many": ("ImageId,Label\n1,5\n2,6\n3,7\n4,8\n", ROWS_ARE.format(4)),
    "ids from 0": ("ImageId,Label\n0,5\n1,6\n2,7\n", "line 2 is '0,5': it must be '1,5'"),
    "an id twice": ("ImageId,Label\n1,5\n1,6\n3,7\n", "line 3 is '1,6': it must be '2,6'"),
    "a space": ("ImageId,Label\n1, 5\n2,6\n3,7\n", "line 2 is '1, 5': it must be '1,5'"),
    "a label of 10": ("ImageId,Label\n1,10\n2,6\n3,7\n", LABEL_IS.format(2, "'10'")),
    "a label as a float": ("ImageId,Label\n1,5\n2,6.0\n3,7\n", LABEL_IS.format(3, "'6.0'")),
    "a label missing": ("ImageId,Label\n1,5\n2,\n3,7\n", LABEL_IS.format(3, "no value")),
    "a superscript": ("ImageId,Label\n1,5\n2,\u00b2\n3,7\n", LABEL_IS.format(3, "'\u00b2'")),
    "a third value": ("ImageId,Label\n1,5,9\n", "line 2 has 3 values: it must have 2"),
}


@pytest.mark.parametrize("kind", BAD_SUBMISSION)
def test_a_malformed_submission_is_refused_with_the_position_of_its_fault(
    kind: str, tmp_path: Path
) -> None:
    content, complaint = BAD_SUBMISSION[kind]
    path = tmp_path / "submission.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FormatError) as caught:
        read_submission(path, 3)
    assert str(caught.value) == f"{path}: {complaint}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_submission_is_read_with_the_line_ends_of_any_system(end: str, tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes(f"ImageId,Label{end}1,5{end}2,0".encode())
    assert read_submission(path, 2).tolist() == [5, 0]


def test_pixels_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 300)
    write_pixels(tmp_path / "train.csv", images, labels)
    write_pixels(tmp_path / "test.csv", images)
    assert (tmp_path / "test.csv").stat().st_size > 3 * 2**18  # pandas parses 256 KiB at once
    images_read, labels_read = read_train(tmp_path / "train.csv")
    np.testing.assert_array_equal(images_read, images)
    np.testing.assert_array_equal(labels_read, labels)
    np.testing.assert_array_equal(read_test(tmp_path / "test.csv"), images)


@given(seed=st.integers(0, 99), position=st.integers(0, 10**6), byte=st.integers(0, 255))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fast_way_accepts_nothing_that_the_slow_way_reads_otherwise(
    seed: int, position: int, byte: int, tmp_path: Path
) -> None:
    path = tmp_path / "test.csv"
    write_pixels(path, images(2, seed))
    content = bytearray(path.read_bytes())
    start = content.index(b"\n") + 1
    content[start + position % (len(content) - start)] = byte
    plain = competition._parse_fast(bytes(content[start:]), PIXELS)
    if plain is not None:
        by_hand = list(csv.reader(io.StringIO(content.decode())))[1:]
        np.testing.assert_array_equal(plain, np.array(by_hand, dtype=np.int64))


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
