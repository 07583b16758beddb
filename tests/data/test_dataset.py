"""A dataset is what was verified, or it is not used."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.complaint import complaint
from support.small import images, write_small

from digit_recognizer.data import dataset as datasets
from digit_recognizer.data.competition import write_pixels, write_submission
from digit_recognizer.data.dataset import load_dataset, read_provenance, replacing, verify
from digit_recognizer.errors import FileError, FormatError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with replacing(tmp_path / "mine", "a friend", may_submit=True) as new:
        write_small(new)
        write_submission(new / "solution.csv", np.arange(7))
    return tmp_path / "mine"


def test_a_dataset_is_loaded_with_its_solution_and_provenance(folder: Path) -> None:
    data = load_dataset(folder)
    provenance = data.provenance
    np.testing.assert_array_equal(data.images, images(20))
    np.testing.assert_array_equal(data.test_images, images(7, seed=1))
    assert data.labels.tolist() == [n % 10 for n in range(20)]
    assert data.solution is not None
    assert data.solution.tolist() == list(range(7))
    dtypes = (data.images.dtype, data.test_images.dtype, data.labels.dtype, data.solution.dtype)
    assert dtypes == (np.uint8, np.uint8, np.int64, np.int64)
    assert provenance == read_provenance(folder)
    assert (provenance.source, provenance.may_submit, provenance.repeats) == ("a friend", True, 0)


def test_what_was_verified_is_loaded_as_arrays_and_not_read_from_the_csvs_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = datasets._read_csvs(folder, has_solution=True)
    monkeypatch.setattr(datasets, "_read_csvs", None)
    loaded = load_dataset(folder)
    for name in ("images", "labels", "test_images", "solution"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(read, name))


@pytest.mark.parametrize("damage", ["cut", "of another form"])
def test_a_damaged_cache_is_built_anew(damage: str, folder: Path) -> None:
    before = load_dataset(folder)
    [cache] = folder.glob(".arrays-*")
    whole = cache.read_bytes()
    if damage == "cut":
        cache.write_bytes(whole[: len(whole) // 2])
    else:
        np.savez(cache, something=np.zeros(3))
    np.testing.assert_array_equal(load_dataset(folder).images, before.images)
    assert cache.read_bytes() == whole


def test_no_cache_is_no_obstacle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise FileError("no room")

    [cache] = folder.glob(".arrays-*")
    cache.unlink()
    monkeypatch.setattr(datasets, "_write_cache", full_disk)
    assert verify(folder, "a friend", may_submit=True).source == "a friend"
    assert len(load_dataset(folder).images) == 20


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv", "solution.csv"])
def test_a_file_that_changed_since_it_was_verified_is_named(name: str, folder: Path) -> None:
    load_dataset(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-2] + b"3\n")
    assert complaint(FileError, load_dataset, folder) == (
        f"{folder / name}: is missing or no longer what was verified: run"
        " 'make download SOURCE=\"a friend\"' again"
    )


def test_a_changed_source_json_does_not_point_outside(folder: Path) -> None:
    content = json.loads((folder / "source.json").read_text())
    content["sha256"]["../../secret"] = "0"
    (folder / "source.json").write_text(json.dumps(content))
    assert complaint(FileError, load_dataset, folder) == (
        f"{folder / 'source.json'}: is damaged: run 'make download' again"
    )


def test_a_dataset_that_is_not_there_names_those_that_are(folder: Path) -> None:
    missing = folder.parent / "nothing"
    for name in ("sample", ".old-sample"):
        shutil.copytree(folder, folder.parent / name)
    assert complaint(FileError, load_dataset, missing) == (
        f"{missing}: is not there: run 'make download', or use one of these datasets: mine, sample"
    )


def test_the_advice_for_the_sample_is_not_to_fetch_kaggles_data(tmp_path: Path) -> None:
    folder, command = tmp_path / "sample", "make download SOURCE=sample"
    source_json = folder / "source.json"
    assert complaint(FileError, load_dataset, folder) == f"{folder}: is not there: run '{command}'"
    with replacing(folder, "sample", may_submit=False) as new:
        write_small(new)
    (folder / "test.csv").unlink()
    assert complaint(FileError, load_dataset, folder) == (
        f"{folder / 'test.csv'}: is missing or no longer what was verified: run '{command}' again"
    )
    source_json.write_text("{}")
    line = complaint(FileError, load_dataset, folder)
    assert line == f"{source_json}: source: field required: run '{command}' again"
    source_json.unlink()
    assert (
        complaint(FileError, load_dataset, folder)
        == f"{source_json}: is not there: run '{command}'"
    )


def test_a_folder_of_ones_own_is_not_verified_by_fetching_kaggles_data(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "my rows")
    assert complaint(FileError, load_dataset, folder) == (
        f"{folder / 'source.json'}: is not there: 'make download SOURCE=\"{folder}\"' puts its"
        " files in place of digit-recognizer's, and verifies them"
    )


def test_a_solution_that_was_not_verified_does_not_count(folder: Path) -> None:
    assert load_dataset(folder).solution is not None
    content = json.loads((folder / "source.json").read_text())
    del content["sha256"]["solution.csv"]
    (folder / "source.json").write_text(json.dumps(content))
    assert load_dataset(folder).solution is None


@pytest.mark.parametrize(("repeats", "may_submit"), [(0, True), (2, True), (3, False)])
def test_test_images_that_are_training_rows_forbid_submitting(
    repeats: int, may_submit: bool, tmp_path: Path
) -> None:
    write_small(tmp_path)
    test = np.zeros((2000, 28, 28), dtype=np.uint8)
    test[:, 0, 0], test[:, 0, 1] = np.arange(2000) // 256, np.arange(2000) % 256
    train = np.concatenate([images(20), test[:repeats]])
    write_pixels(tmp_path / "train.csv", train, np.arange(len(train)) % 10)
    write_pixels(tmp_path / "test.csv", test)
    write_submission(tmp_path / "sample_submission.csv", np.zeros(2000, dtype=np.int64))
    provenance = verify(tmp_path, "a friend", may_submit=True)
    assert (provenance.repeats, provenance.may_submit) == (repeats, may_submit)


@pytest.mark.parametrize("name", ["sample_submission.csv", "solution.csv"])
def test_another_number_of_labels_than_of_test_images_is_refused(name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(FormatError) as caught,
        replacing(tmp_path / "mine", "a friend", may_submit=True) as new,
    ):
        write_small(new)
        write_submission(new / name, np.arange(6))
    assert str(caught.value) == (
        f"a friend: {name}: has 6 rows: it must have 7, one for each row of test.csv"
    )
