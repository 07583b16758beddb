"""Whatever its source, a dataset ends as the same verified folder, or nothing changes."""

import gzip
import hashlib
import http.server
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from storage.small import contents, data_bytes, images, write_small

from digit_recognizer.stages.download import download
from digit_recognizer.storage import sources
from digit_recognizer.storage.competition import DATA_FILES, read_submission, read_test, read_train
from digit_recognizer.storage.datasets import load, replacing
from digit_recognizer.storage.files import StorageError

Pages = dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]]


def page(body: bytes, promised: int | None = None) -> Callable[..., None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(promised or len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def mirror() -> Iterator[tuple[str, Pages]]:
    """A loopback server: its address, and its pages to fill."""
    pages: Pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = pages.get(self.path.removeprefix("/mnist/"))
            if answer is None:
                self.send_error(404)
            else:
                answer(self)

        def log_message(self, format: str, *values: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mnist/", pages
        server.shutdown()
        thread.join()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST's four files with 12 + 5 images, the table of digests being theirs."""
    files = {
        "train-images-idx3-ubyte": idx(images(12)),
        "train-labels-idx1-ubyte": idx(np.arange(12, dtype=np.uint8) % 10),
        "t10k-images-idx3-ubyte": idx(images(5, seed=1)),
        "t10k-labels-idx1-ubyte": idx(np.array([3, 1, 4, 1, 5], dtype=np.uint8)),
    }
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(sources.MNIST_DIGESTS, name, digest)
    return files


def test_mnist_is_fetched_with_its_official_split_and_the_solution(
    mirror: tuple[str, Pages], small_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    url, pages = mirror
    pages.update({f"{name}.gz": page(gzip.compress(c)) for name, c in small_mnist.items()})
    told: list[tuple[str, int, int]] = []
    folder, provenance, fetched = download(
        tmp_path, "mnist", url.rstrip("/"), lambda *facts: told.append(facts)
    )
    assert (folder, fetched) == (tmp_path / "mnist", True)
    assert not provenance.may_submit
    data, _ = load(folder)
    np.testing.assert_array_equal(data.images, images(12))
    np.testing.assert_array_equal(data.test_images, images(5, seed=1))
    assert data.solution is not None
    assert data.solution.tolist() == [3, 1, 4, 1, 5]
    assert told[-1][1] == told[-1][2] > 0
    pages.clear()
    assert download(tmp_path, "mnist", url)[2] is False, "the second time needs no network"


def no_answer(request: http.server.BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


LAST = "t10k-labels-idx1-ubyte"
GOOD_GZIP = gzip.compress(b"x" * 5000)
BAD_PAGES = {
    "404": (None, "the server answered 404: give another MNIST_URL"),
    "no gzip": (page(b"<html>sorry</html>"), "is not a gzip file: give another MNIST_URL"),
    "corrupt gzip": (
        page(GOOD_GZIP[:20] + b"\xff\xff\xff" + GOOD_GZIP[23:]),
        "is not a gzip file: give another MNIST_URL",
    ),
    "gzip cut short": (page(GOOD_GZIP[:-9]), "is not a gzip file: give another MNIST_URL"),
    "something else": (page(GOOD_GZIP), "is not the original file: give another MNIST_URL"),
    "a broken-off transfer": (
        page(GOOD_GZIP[:10], promised=99),
        "broke off after 10 of 99 bytes: repeat the command",
    ),
    "no answer": (
        no_answer,
        "cannot be fetched (Remote end closed connection without response):"
        " check the network or give another MNIST_URL",
    ),
}


@pytest.mark.parametrize("kind", BAD_PAGES)
def test_a_bad_mirror_is_named_and_leaves_nothing(
    kind: str, mirror: tuple[str, Pages], small_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    url, pages = mirror
    pages.update({f"{name}.gz": page(gzip.compress(c)) for name, c in small_mnist.items()})
    answer, complaint = BAD_PAGES[kind]
    pages.pop(f"{LAST}.gz")
    if answer is not None:
        pages[f"{LAST}.gz"] = answer
    with pytest.raises(StorageError) as caught:
        download(tmp_path, "mnist", url)
    assert str(caught.value) == f"{url}{LAST}.gz: {complaint}"
    assert contents(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".lock-mnist"]


def test_without_a_network_the_message_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: the connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(StorageError) as caught:
            download(tmp_path, "mnist", url)
    assert str(caught.value).startswith(f"{url}train-images-idx3-ubyte.gz: cannot be fetched (")
    assert "refused" in str(caught.value)
    with pytest.raises(StorageError, match=r"cannot be fetched .*unknown url type"):
        download(tmp_path, "mnist", "nonsense")


def test_the_sample_is_split_80_to_20_alike_for_every_digit_and_always_the_same(
    tmp_path: Path,
) -> None:
    first, provenance, _ = download(tmp_path / "a", "sample")
    second, _, _ = download(tmp_path / "b", "sample")
    assert {**data_bytes(first), "": (first / "solution.csv").read_bytes()} == {
        **data_bytes(second),
        "": (second / "solution.csv").read_bytes(),
    }
    assert not provenance.may_submit
    data, _ = load(first)
    assert data.solution is not None
    assert (len(data.images), len(data.test_images)) == (1437, 360)
    share = np.bincount(data.solution) / np.bincount(np.append(data.labels, data.solution))
    assert abs(share - 0.2).max() < 0.005
    assert data.images[:, :4].max() == 0
    assert data.images.max() == 255


# -- zips and folders that a user already has -------------------------------------------------


def zipped(path: Path, folder: Path, prefix: str = "", names: tuple[str, ...] = DATA_FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.write(folder / name, prefix + name)
    return path


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


# -- idempotence ------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "mine.zip", write_small(tmp_path / "mine"))


def test_the_same_source_over_intact_files_does_nothing(archive: Path, tmp_path: Path) -> None:
    folder, _, _ = download(tmp_path / "data", str(archive))
    dates = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert download(tmp_path / "data", str(archive))[2] is False
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == dates


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one byte changed": lambda folder: (folder / "train.csv").write_bytes(
        (folder / "train.csv").read_bytes()[:-2] + b"9\n"
    ),
    "half written": lambda folder: os.truncate(folder / "test.csv", 3000),
    "a file missing": lambda folder: (folder / "sample_submission.csv").unlink(),
    "no source.json": lambda folder: (folder / "source.json").unlink(),
    "half of source.json": lambda folder: os.truncate(folder / "source.json", 50),
    "source.json of something else": lambda folder: (folder / "source.json").write_text("{}"),
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
    folder, _, _ = download(tmp_path / "data", str(archive))
    before = data_bytes(folder)
    DAMAGES[kind](folder)
    with pytest.raises(StorageError, match="run 'make download"):
        load(folder)
    assert download(tmp_path / "data", str(archive))[2] is True
    assert data_bytes(folder) == before
    assert download(tmp_path / "data", str(archive))[2] is False


def test_another_source_replaces_and_so_does_a_newer_file_of_the_same_name(
    archive: Path, tmp_path: Path
) -> None:
    download(tmp_path / "data", str(archive))
    other = write_small(tmp_path / "other", seed=5)
    folder, provenance, fetched = download(tmp_path / "data", str(other))
    assert (fetched, provenance.source) == (True, str(other))
    assert data_bytes(folder) == data_bytes(other)
    write_small(tmp_path / "other", seed=6)
    assert download(tmp_path / "data", str(other))[2] is True
    assert data_bytes(folder) == data_bytes(other)
    assert not list((tmp_path / "data").glob(".old-*"))


def test_the_users_own_notes_beside_the_data_outlive_a_replacement(
    archive: Path, tmp_path: Path
) -> None:
    folder, _, _ = download(tmp_path / "data", str(archive))
    load(folder)
    (folder / "notes.txt").write_text("mine")
    download(tmp_path / "data", str(write_small(tmp_path / "other", seed=5)))
    assert set(contents(folder)) == {*DATA_FILES, "source.json", "notes.txt"}


def test_a_kill_between_the_two_renames_is_recovered(archive: Path, tmp_path: Path) -> None:
    folder, _, _ = download(tmp_path / "data", str(archive))
    before = contents(folder)
    folder.rename(folder.with_name(".old-digit-recognizer"))
    load(folder)
    for stale in folder.glob(".arrays-*"):
        stale.unlink()
    assert contents(tmp_path / "data" / "digit-recognizer") == before
    folder.rename(folder.with_name(".old-digit-recognizer"))
    assert download(tmp_path / "data", str(archive))[2] is False


def test_a_kill_while_unpacking_leaves_what_was_there_and_is_cleaned_up(
    archive: Path, tmp_path: Path
) -> None:
    folder, _, _ = download(tmp_path / "data", str(archive))
    before = contents(folder)
    other = zipped(tmp_path / "other.zip", write_small(tmp_path / "other", seed=5))
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from digit_recognizer.stages.download import download;"
        "download(Path(sys.argv[1]), sys.argv[2],"
        " progress=lambda *facts: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "data"), str(other)])
    assert killed.returncode == -signal.SIGKILL
    assert contents(folder) == before
    assert list((tmp_path / "data").glob(".new-*"))
    assert download(tmp_path / "data", str(other))[2] is True
    assert not list((tmp_path / "data").glob(".new-*"))


def test_two_downloads_at_once_do_not_get_in_each_others_way(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "digit-recognizer"

    def second(what: str, done: int, total: int) -> None:
        with pytest.raises(StorageError, match="another process is replacing it: wait for it"):
            download(tmp_path / "data", str(archive))

    assert download(tmp_path / "data", str(archive), progress=second)[2] is True
    assert load(folder)[1].source == str(archive)


# -- a full disk ------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from pathlib import Path
from digit_recognizer.stages.download import download
from digit_recognizer.storage.files import StorageError
if sys.argv[3] != "no limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    download(Path(sys.argv[1]), sys.argv[2])
except StorageError as error:
    sys.exit(str(error))
"""


def download_limited(data: Path, source: str, limit: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(data), source, limit], capture_output=True, text=True
    )


@pytest.mark.parametrize("of", ["zip", "folder", "sample"])
def test_a_file_that_grows_beyond_the_systems_limit_leaves_what_was_there(
    of: str, archive: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    download(data, str(archive))
    before = contents(data)
    large = write_small(tmp_path / "large", n_train=300, seed=3)
    source = {"zip": str(zipped(tmp_path / "large.zip", large)), "folder": str(large)}
    failed = download_limited(data, source.get(of, "sample"), "100000")
    assert failed.returncode == 1
    assert "cannot be written (File too large): make room" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert ".new-" not in failed.stderr
    assert contents(data) == before
    assert not list(data.glob(".new-*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a disk of 1 MiB takes root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    small_disk: Path, archive: Path, tmp_path: Path
) -> None:
    data = small_disk / "data"
    folder, _, _ = download(data, str(archive))
    before = contents(data)
    large = write_small(tmp_path / "large", n_train=600, seed=3)
    with pytest.raises(StorageError) as caught:
        download(data, str(large))
    assert str(caught.value) == (
        f"{folder}: cannot be written (No space left on device): make room (300 MB) or"
        " mend the permissions, then repeat the command"
    )
    assert contents(data) == before


def test_a_failure_in_between_leaves_no_folder_aside(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        replacing(tmp_path / "data" / "mine", "mine", may_submit=True) as aside,
    ):
        write_small(aside)
        raise KeyboardInterrupt
    assert contents(tmp_path / "data") == {}


def test_all_three_files_are_read_back(archive: Path, tmp_path: Path) -> None:
    folder, _, _ = download(tmp_path / "data", str(archive))
    read, labels = read_train(folder / "train.csv")
    np.testing.assert_array_equal(read, images(20))
    assert labels.tolist() == [n % 10 for n in range(20)]
    np.testing.assert_array_equal(read_test(folder / "test.csv"), images(7, seed=1))
    assert read_submission(folder / "sample_submission.csv", 7).tolist() == [0] * 7
