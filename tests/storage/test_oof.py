"""`oof.csv`, as written and as read."""

from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.storage.files import StorageError
from digit_recognizer.storage.oof import read_oof, write_oof


def test_out_of_fold_rows_are_written_for_people_and_programs(tmp_path: Path) -> None:
    proba = np.full((2, 10), 0.05)
    proba[0, 3] = proba[1, 9] = 0.55
    write_oof(tmp_path / "oof.csv", np.arange(2), np.array([3, 4]), np.array([0, 1]), proba)
    header, first, second = (tmp_path / "oof.csv").read_text().splitlines()
    assert header == "row,label,fold,predicted," + ",".join(f"proba_{d}" for d in range(10))
    small = "0.050000"
    assert first == ",".join(["0,3,0,3", *[small] * 3, "0.550000", *[small] * 6])
    assert second == ",".join(["1,4,1,9", *[small] * 9, "0.550000"])


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, labels, folds = np.arange(0, 40, 2), rng.integers(0, 10, 20), rng.integers(0, 3, 20)
    proba = rng.dirichlet(np.ones(10), 20)
    write_oof(tmp_path / "oof.csv", rows, labels, folds, proba)
    back = read_oof(tmp_path / "oof.csv")
    np.testing.assert_array_equal(back.rows, rows)
    np.testing.assert_array_equal(back.labels, labels)
    np.testing.assert_array_equal(back.folds, folds)
    np.testing.assert_array_equal(back.predicted, proba.argmax(axis=1))


def test_one_row_is_a_table_too(tmp_path: Path) -> None:
    one = np.array([3])
    write_oof(tmp_path / "oof.csv", one, one, one, np.full((1, 10), 0.1))
    assert read_oof(tmp_path / "oof.csv").rows.tolist() == [3]


@pytest.mark.parametrize("content", [None, "", "row,label\n1,2\n", "cut"])
def test_a_damaged_or_missing_file_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "oof.csv"
    if content == "cut":
        write_oof(path, *[np.arange(2)] * 3, np.full((2, 10), 0.1))
        content = path.read_text()[:-60].rsplit("\n", 1)[0] + "\n1,4"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StorageError) as caught:
        read_oof(path)
    assert str(caught.value).startswith(f"{path}: cannot be read (")
    assert "writes it anew" in str(caught.value)
