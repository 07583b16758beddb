"""A zip or a folder that a user already has is taken whole and checked, or not at all."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from storage.small import contents, data_bytes, write_small, zipped

from digit_recognizer.environment import describe
from digit_recognizer.learning.device import find_placements
from digit_recognizer.stages.download import download
from digit_recognizer.storage.competition import DATA_FILES
from digit_recognizer.storage.datasets import load
from digit_recognizer.storage.files import StorageError


@pytest.mark.parametrize("prefix", ["", "digit-recognizer/"])
def test_a_zip_is_unpacked_and_verified(prefix: str, tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine")
    archive = zipped(tmp_path / "mine.zip", mine, prefix)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.writestr("__MACOSX/._train.csv", b"finder's")
        bundle.writestr("notes/readme.txt", b"not ours")
    folder, provenance, fetched = download(tmp_path / "data", str(archive))
    assert (folder, fetched) == (tmp_path / "data" / "digit-recognizer", True)
    assert provenance.source == str(archive)
    assert provenance.may_submit
    assert data_bytes(folder) == data_bytes(mine)
    assert set(contents(folder)) == {*DATA_FILES, "source.json"}


def test_a_run_names_the_zip_that_its_data_came_from_and_not_the_path(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "mine.zip", write_small(tmp_path / "mine"))
    place = tmp_path / "My Downloads"
    place.mkdir()
    archive = archive.rename(place / "digit recognizer (1).zip")
    _, provenance, _ = download(tmp_path / "data", str(archive))
    placements, _ = find_placements("cpu")
    assert describe(placements[0], provenance)["source"] == "digit recognizer (1).zip"


def test_a_folder_is_copied_and_verified(tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine")
    folder, provenance, _ = download(tmp_path / "data", str(mine))
    assert data_bytes(folder) == data_bytes(mine)
    assert provenance.source == str(mine)


def test_files_put_in_place_by_hand_are_verified_where_they_stand(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "digit-recognizer")
    (folder / "notes.txt").write_text("mine")
    before = data_bytes(folder)
    with pytest.raises(StorageError, match=f"'make download SOURCE={folder}' to verify"):
        load(folder)
    assert download(tmp_path, str(folder))[2] is True
    assert data_bytes(folder) == before
    assert (folder / "notes.txt").read_text() == "mine"
    assert download(tmp_path, str(folder))[2] is False


def test_mnist_or_the_sample_do_not_pass_for_the_competitions_data(tmp_path: Path) -> None:
    folder, _, _ = download(tmp_path, "sample")
    with pytest.raises(StorageError) as caught:
        download(tmp_path, str(folder))
    assert str(caught.value) == (
        f"{folder}: is sample, not the competition's data: use it as DATA=sample"
    )


def with_entry(name: str, link: bool = False) -> Callable[[Path, Path], None]:
    def make(archive: Path, mine: Path) -> None:
        zipped(archive, mine)
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (0o120777 if link else 0o100644) << 16
        with zipfile.ZipFile(archive, "a") as bundle:
            bundle.writestr(entry, b"/etc/passwd")

    return make


def spoiled(position: int) -> Callable[[Path, Path], None]:
    """The right size, with some bytes zeroed, counted from the end where negative."""

    def make(archive: Path, mine: Path) -> None:
        content = bytearray(zipped(archive, mine).read_bytes())
        content[position : position + 20] = bytes(20)
        archive.write_bytes(content)

    return make


def encrypted(archive: Path, mine: Path) -> None:
    content = bytearray(zipped(archive, mine).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(mark, place + 1)
    archive.write_bytes(content)


def in_two_folders(archive: Path, mine: Path) -> None:
    zipped(archive, mine)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.write(mine / "train.csv", "again/train.csv")


def malformed_inside(archive: Path, mine: Path) -> None:
    lines = (mine / "test.csv").read_bytes().splitlines(keepends=True)
    (mine / "test.csv").write_bytes(b"".join([*lines[:3], b"256" + lines[3][1:], *lines[4:]]))
    zipped(archive, mine)


def fewer_ids(archive: Path, mine: Path) -> None:
    (mine / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    zipped(archive, mine)


HOLDS = "it must hold train.csv, test.csv, sample_submission.csv"
BAD_ZIPS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "empty file": (lambda a, m: a.write_bytes(b""), "is not a good zip file: fetch it again"),
    "no zip": (lambda a, m: a.write_text("<html>"), "is not a good zip file: fetch it again"),
    "cut short": (
        lambda a, m: a.write_bytes(zipped(a, m).read_bytes()[:-100]),
        "is not a good zip file: fetch it again",
    ),
    "damaged data": (spoiled(3000), "is not a good zip file: fetch it again"),
    "damaged directory": (spoiled(-120), "is not a good zip file: fetch it again"),
    "empty zip": (lambda a, m: zipped(a, m, names=()), f"has no train.csv: {HOLDS}"),
    "no test.csv": (
        lambda a, m: zipped(a, m, names=("train.csv", "sample_submission.csv")),
        f"has no test.csv: {HOLDS}",
    ),
    "no sample_submission.csv": (
        lambda a, m: zipped(a, m, names=("train.csv", "test.csv")),
        f"has no sample_submission.csv: {HOLDS}",
    ),
    "climbs up": (with_entry("../x.csv"), "holds '../x.csv', which climbs out: not unpacked"),
    "climbs up inside": (
        with_entry("a/../../train.csv"),
        "holds 'a/../../train.csv', which climbs out: not unpacked",
    ),
    "absolute": (
        with_entry("/tmp/train.csv"),
        "holds '/tmp/train.csv', which climbs out: not unpacked",
    ),
    "backslashes": (
        with_entry("..\\train.csv"),
        "holds '..\\\\train.csv', which climbs out: not unpacked",
    ),
    "a drive": (
        with_entry("C:\\train.csv"),
        "holds 'C:\\\\train.csv', which climbs out: not unpacked",
    ),
    "a link": (
        with_entry("link.csv", link=True),
        "holds 'link.csv', which climbs out: not unpacked",
    ),
    "train.csv twice": (in_two_folders, "holds train.csv twice: not unpacked"),
    "encrypted": (encrypted, "is encrypted: unpack it, and give the folder"),
    "a malformed test.csv": (
        malformed_inside,
        "test.csv: line 4 has '256",
    ),
    "too few ids": (
        fewer_ids,
        "sample_submission.csv: has 1 rows: it must have 7, one for each row of test.csv",
    ),
}


@pytest.mark.parametrize("kind", BAD_ZIPS)
def test_a_bad_zip_is_named_and_what_was_there_is_still_there_byte_for_byte(
    kind: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    good = zipped(tmp_path / "good.zip", write_small(tmp_path / "good", seed=9))
    download(data, str(good))
    before = contents(data)
    archive = tmp_path / "bad.zip"
    make, complaint = BAD_ZIPS[kind]
    make(archive, write_small(tmp_path / "mine"))
    with pytest.raises(StorageError) as caught:
        download(data, str(archive))
    assert str(caught.value).startswith(f"{archive}: {complaint}")
    assert "\n" not in str(caught.value)
    assert contents(data) == before
    assert not list(data.glob(".new-*")), "no folder half made is left behind"


def test_a_zip_with_any_byte_changed_is_refused_or_unpacked_right(tmp_path: Path) -> None:
    mine = write_small(tmp_path / "mine", n_train=2, n_test=1)
    content = zipped(tmp_path / "good.zip", mine).read_bytes()
    places = np.random.default_rng(0)
    for place in [*places.integers(0, len(content), 60), *range(len(content) - 60, len(content))]:
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << places.integers(8)
        (tmp_path / "bad.zip").write_bytes(spoilt)
        try:
            folder, _, _ = download(tmp_path / "data", str(tmp_path / "bad.zip"))
        except StorageError:
            continue
        assert data_bytes(folder) == data_bytes(mine)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        download(tmp_path, str(tmp_path / "nothing.zip"))
    assert str(caught.value) == (
        f"{tmp_path / 'nothing.zip'}: is not there: give SOURCE=kaggle, mnist, sample or a path"
    )
    (tmp_path / "mine").mkdir()
    with pytest.raises(StorageError, match=r"mine: has no train\.csv: it must hold"):
        download(tmp_path, str(tmp_path / "mine"))
