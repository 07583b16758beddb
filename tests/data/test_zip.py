"""A zip or a folder that a user already has is taken whole and checked, or not at all."""

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.complaint import complaint
from support.small import contents, data_bytes, write_small, zipped

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.errors import FileError
from digit_recognizer.runs.environment import current_environment
from digit_recognizer.training.device import find_devices


@pytest.mark.parametrize("prefix", ["", "digit-recognizer/"])
def test_three_files_of_a_zip_are_unpacked_and_verified_and_nothing_else(
    prefix: str, tmp_path: Path
) -> None:
    mine = write_small(tmp_path / "mine")
    archive = zipped(tmp_path / "mine.zip", mine, prefix)
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as bundle:
        for name in ("__MACOSX/train.csv", "a.txt", "../x.csv", "/tmp/x.csv", "C:\\x.csv", link):
            bundle.writestr(name, b"not ours")
    folder, provenance, fetched = fetch_dataset(tmp_path / "data", str(archive))
    assert (folder, fetched) == (tmp_path / "data" / "digit-recognizer", True)
    assert (provenance.source, provenance.may_submit) == (str(archive), True)
    assert data_bytes(folder) == data_bytes(mine)
    assert set(contents(tmp_path / "data")) == {
        f"digit-recognizer/{name}" for name in (*DATA_FILES, "source.json")
    }
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "mine.zip", "data"}


def test_a_run_names_the_zip_that_its_data_came_from_and_not_the_path(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "digit recognizer (1).zip", write_small(tmp_path / "mine"))
    data = load_dataset(fetch_dataset(tmp_path / "data", str(archive))[0])
    assert current_environment(find_devices("cpu"), data).source == "digit recognizer (1).zip"


def test_read_only_files_are_copied_with_their_dates_and_can_be_replaced(tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine")
    for name in DATA_FILES:
        (mine / name).chmod(0o444)
        os.utime(mine / name, ns=(10**18, 10**18))
    folder, *_ = fetch_dataset(tmp_path / "data", str(mine))
    facts = [(folder / name).stat() for name in DATA_FILES]
    assert all(fact.st_mode & 0o200 and fact.st_mtime_ns == 10**18 for fact in facts)


def test_files_put_in_place_by_hand_are_verified_where_they_stand(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "digit-recognizer")
    (folder / "notes.txt").write_text("mine")
    before = data_bytes(folder)
    with pytest.raises(FileError, match=f"'make download SOURCE={folder}' to verify"):
        load_dataset(folder)
    assert fetch_dataset(tmp_path, str(folder))[2] is True
    assert data_bytes(folder) == before
    assert (folder / "notes.txt").read_text() == "mine"
    assert fetch_dataset(tmp_path, str(folder))[2] is False


def test_mnist_or_the_sample_do_not_pass_for_the_competitions_data(tmp_path: Path) -> None:
    folder, _, _ = fetch_dataset(tmp_path, "sample")
    line = complaint(FileError, fetch_dataset, tmp_path, str(folder))
    assert line == f"{folder}: is sample, not the competition's data: use it as DATA=sample"


def of_gigabytes(archive: Path, mine: Path) -> None:
    """A directory that says so, as that of a true one does."""
    content = bytearray(zipped(archive, mine).read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 3 * 10**9)
    archive.write_bytes(content)


def in_two_folders(archive: Path, mine: Path) -> None:
    zipped(archive, mine)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.write(mine / "train.csv", "again/train.csv")


Maker = Callable[[Path, Path], object]  # of a zip at a path, from a folder
NO_ZIP = "cannot be unpacked: fetch it again"
TOO_LARGE = "and at most 500 can be read: give a file of fewer rows"
BAD_ZIPS: dict[str, tuple[Maker, str]] = {
    "no zip": (lambda path, mine: path.write_text("<html>"), NO_ZIP),
    "cut short": (
        lambda path, mine: path.write_bytes(zipped(path, mine).read_bytes()[:-100]),
        NO_ZIP,
    ),
    "train.csv twice": (in_two_folders, "holds train.csv twice: not unpacked"),
    "gigabytes": (of_gigabytes, f"train.csv: has 3,000 MB, {TOO_LARGE}"),
    "no test.csv": (
        lambda path, mine: zipped(path, mine, names=("train.csv", "sample_submission.csv")),
        "has no test.csv: it must hold train.csv, test.csv, sample_submission.csv",
    ),
}


@pytest.mark.parametrize(("make", "fault"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_a_bad_zip_is_named_and_what_was_there_is_still_there_byte_for_byte(
    make: Maker, fault: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    fetch_dataset(data, str(write_small(tmp_path / "good", seed=9)))
    before = contents(data)
    archive = tmp_path / "bad.zip"
    make(archive, write_small(tmp_path / "mine"))
    line = complaint(FileError, fetch_dataset, data, str(archive))
    assert line.startswith(f"{archive}: {fault}")
    assert "\n" not in line
    assert contents(data) == before
    assert not list(data.glob(".new-*")), "no folder half made is left behind"


def test_a_zip_with_any_byte_changed_is_refused_or_unpacked_right(tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine", n_train=2, n_test=1)
    content = zipped(tmp_path / "good.zip", mine).read_bytes()
    rng = np.random.default_rng(0)
    inside, at_the_end = rng.integers(0, len(content), 60), range(len(content) - 60, len(content))
    for position in [*inside, *at_the_end]:
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        (tmp_path / "bad.zip").write_bytes(changed)
        try:
            folder, _, _ = fetch_dataset(tmp_path / "data", str(tmp_path / "bad.zip"))
        except FileError:
            continue
        assert data_bytes(folder) == data_bytes(mine)


def test_a_folder_with_a_file_of_gigabytes_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine")
    os.truncate(mine / "train.csv", 3 * 10**9)  # it takes no room on the disk
    line = complaint(FileError, fetch_dataset, tmp_path / "data", str(mine))
    assert line == f"{mine / 'train.csv'}: has 3,000 MB, {TOO_LARGE}"


@pytest.mark.skipif(os.name != "posix", reason="other systems have other words")
def test_a_source_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    faults = {
        "~nosuchuser/x": "~nosuchuser/x: cannot be read (Could not determine home directory.)",
        str(tmp_path / "pipe"): f"{tmp_path / 'pipe'}: is neither a file nor a folder",
        "nothing.zip": "nothing.zip: cannot be read (No such file or directory)",
    }
    for source, fault in faults.items():
        line = complaint(FileError, fetch_dataset, tmp_path, source)
        assert line == f"{fault}: give SOURCE=kaggle, mnist, sample or a path"
