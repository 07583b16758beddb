"""A dataset is fetched once, repaired when damaged, and replaced by a good one only."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small import contents, data_bytes, no_file_above, write_small, zipped

from digit_recognizer.commands.download import fetch_dataset, ready_dataset
from digit_recognizer.commands.options import Folders
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.data.dataset import load_dataset, replacing
from digit_recognizer.errors import FileError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "mine.zip", write_small(tmp_path / "mine"))


def test_the_same_source_over_intact_files_does_nothing(archive: Path, tmp_path: Path) -> None:
    folder, _, _ = fetch_dataset(tmp_path / "data", str(archive))
    dates = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert fetch_dataset(tmp_path / "data", str(archive))[2] is False
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == dates


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one byte changed": lambda folder: (folder / "train.csv").write_bytes(
        (folder / "train.csv").read_bytes()[:-2] + b"9\n"
    ),
    "a file missing": lambda folder: (folder / "sample_submission.csv").unlink(),
    "no source.json": lambda folder: (folder / "source.json").unlink(),
    "source.json without digests": lambda folder: (folder / "source.json").write_text(
        json.dumps({**json.loads((folder / "source.json").read_text()), "sha256": 3})
    ),
    "a folder in a file's place": lambda folder: (
        (folder / "test.csv").unlink(),
        (folder / "test.csv").mkdir(),
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_noticed_and_repaired(kind: str, archive: Path, tmp_path: Path) -> None:
    folder, _, _ = fetch_dataset(tmp_path / "data", str(archive))
    before = data_bytes(folder)
    DAMAGES[kind](folder)
    with pytest.raises(FileError, match="run 'make download"):
        load_dataset(folder)
    assert fetch_dataset(tmp_path / "data", str(archive))[2] is True
    assert data_bytes(folder) == before
    assert fetch_dataset(tmp_path / "data", str(archive))[2] is False


def test_another_source_replaces_and_so_does_a_newer_file_of_the_same_name(
    archive: Path, tmp_path: Path
) -> None:
    fetch_dataset(tmp_path / "data", str(archive))
    other = write_small(tmp_path / "other", seed=5)
    folder, provenance, fetched = fetch_dataset(tmp_path / "data", str(other))
    assert (fetched, provenance.source) == (True, str(other))
    assert data_bytes(folder) == data_bytes(other)
    write_small(tmp_path / "other", seed=6)
    assert fetch_dataset(tmp_path / "data", str(other))[2] is True
    assert data_bytes(folder) == data_bytes(other)
    assert not list((tmp_path / "data").glob(".old-*"))


def test_the_users_own_notes_beside_the_data_outlive_a_replacement(
    archive: Path, tmp_path: Path
) -> None:
    folder, _, _ = fetch_dataset(tmp_path / "data", str(archive))
    load_dataset(folder)
    (folder / "notes.txt").write_text("mine")
    fetch_dataset(tmp_path / "data", str(write_small(tmp_path / "other", seed=5)))
    assert set(contents(folder)) == {*DATA_FILES, "source.json", "notes.txt"}


def test_a_folder_that_is_a_link_to_another_disk_stays_one(archive: Path, tmp_path: Path) -> None:
    large_disk = tmp_path / "large disk" / "digits"
    large_disk.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "digit-recognizer").symlink_to(large_disk)
    for source in (archive, write_small(tmp_path / "other", seed=5)):
        folder, _, _ = fetch_dataset(tmp_path / "data", str(source))
        assert folder.is_symlink()
        assert set(contents(large_disk)) == {*DATA_FILES, "source.json"}
    assert data_bytes(large_disk) == data_bytes(tmp_path / "other")


def test_a_kill_between_the_two_renames_is_recovered(archive: Path, tmp_path: Path) -> None:
    folder, _, _ = fetch_dataset(tmp_path / "data", str(archive))
    before = contents(folder)
    folder.rename(folder.with_name(".old-digit-recognizer"))
    load_dataset(folder)
    assert contents(tmp_path / "data" / "digit-recognizer") == before
    folder.rename(folder.with_name(".old-digit-recognizer"))
    assert fetch_dataset(tmp_path / "data", str(archive))[2] is False
    folder.rename(folder.with_name(".old-digit-recognizer"))
    folders = Folders(tmp_path / "data", tmp_path / "submissions")
    assert ready_dataset(None, folders) == "digit-recognizer"  # and not the sample


def test_a_kill_while_unpacking_leaves_what_was_there_and_is_cleaned_up(
    archive: Path, tmp_path: Path
) -> None:
    folder, _, _ = fetch_dataset(tmp_path / "data", str(archive))
    before = contents(folder)
    other = zipped(tmp_path / "other.zip", write_small(tmp_path / "other", seed=5))
    script = (
        "import os, shutil, signal, sys; from pathlib import Path;"
        "from digit_recognizer.commands.download import fetch_dataset;"
        "shutil.copyfileobj = lambda *files: os.kill(os.getpid(), signal.SIGKILL);"
        "fetch_dataset(Path(sys.argv[1]), sys.argv[2])"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "data"), str(other)])
    assert killed.returncode == -signal.SIGKILL
    assert contents(folder) == before
    assert list((tmp_path / "data").glob(".new-*"))
    assert fetch_dataset(tmp_path / "data", str(other))[2] is True
    assert not list((tmp_path / "data").glob(".new-*"))


def test_two_downloads_at_once_do_not_get_in_each_others_way(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "digit-recognizer"
    with replacing(folder, "a friend", may_submit=True) as new:
        with pytest.raises(FileError, match="another process is replacing it: wait for it"):
            fetch_dataset(tmp_path / "data", str(archive))
        write_small(new)
    assert load_dataset(folder).provenance.source == "a friend"


def test_a_full_disk_leaves_what_was_there(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    fetch_dataset(data, str(archive))
    before = contents(data)
    large = write_small(tmp_path / "large", n_train=300, seed=3)
    with no_file_above(100_000), pytest.raises(FileError) as caught:
        fetch_dataset(data, str(large))
    assert str(caught.value) == (
        f"{data}/digit-recognizer: cannot be written (File too large): make room (300 MB) or fix"
        " the permissions, then repeat the command"
    )
    assert contents(data) == before
    assert not list(data.glob(".new-*"))


IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0  # who may read and write anything
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if IS_ROOT else []


@pytest.mark.skipif(
    os.name != "posix" or (IS_ROOT and not shutil.which("setpriv")), reason="lacks permissions"
)
@pytest.mark.parametrize(
    ("mode", "below", "complaint"),
    [
        (0o555, "", "/sample: cannot be written (Permission denied): make room"),
        (0o755, "a" * 300, "File name too long"),  # found at one step or another
        (None, "", "/sample: cannot be written (File exists): make room"),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_one_line(
    mode: int | None, below: str, complaint: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if mode is None:
        data.write_text("")
    else:
        data.mkdir(mode)
    words = ["-m", "digit_recognizer", "download", "--source=sample", f"--data-dir={data / below}"]
    failed = subprocess.run([*AS_USER, sys.executable, *words], capture_output=True, text=True)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1), failed.stderr
    assert complaint in failed.stderr
