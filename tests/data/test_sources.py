"""MNIST's mirror and the bundled sample end as the same verified folder, or nothing changes."""

import gzip
import hashlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.complaint import complaint
from support.loopback import Kaggle, Reply, refusal, serve
from support.small import images

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data import sources
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.errors import FileError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """A mirror of MNIST's four files with 12 + 5 images, the table of digests being theirs."""
    train = images(12), np.arange(12, dtype=np.uint8) % 10
    test = images(5, seed=1), np.array([3, 1, 4, 1, 5], dtype=np.uint8)
    with serve() as server:
        for name, array in zip([*sources.MNIST_DIGESTS], [*train, *test], strict=True):
            digest = hashlib.sha256(idx(array)).hexdigest()
            monkeypatch.setitem(sources.MNIST_DIGESTS, name, digest)
            server.replies["GET"].append(Reply(body=gzip.compress(idx(array))))
        yield server


def test_mnist_is_fetched_with_its_official_split_and_the_solution(
    mirror: Kaggle, tmp_path: Path
) -> None:
    reports: list[tuple[str, int, int]] = []
    folder, provenance, fetched = fetch_dataset(
        tmp_path, "mnist", mirror.url, lambda *report: reports.append(report)
    )
    assert (folder, fetched) == (tmp_path / "mnist", True)
    assert not provenance.may_submit
    data = load_dataset(folder)
    np.testing.assert_array_equal(data.images, images(12))
    np.testing.assert_array_equal(data.test_images, images(5, seed=1))
    assert data.solution is not None
    assert data.solution.tolist() == [3, 1, 4, 1, 5]
    assert reports[-1][1] == reports[-1][2] > 0
    mirror.requests.clear()
    assert fetch_dataset(tmp_path, "mnist", mirror.url)[2] is False
    assert mirror.requests == []


GOOD_GZIP = gzip.compress(b"x" * 5000)
CORRUPT_GZIP = GOOD_GZIP[:20] + b"\xff\xff\xff" + GOOD_GZIP[23:]
NOT_IT = "is not the original file: repeat the command, or give another MNIST_URL"
BAD_REPLIES = {
    "404": (refusal(404), "cannot be fetched (HTTP Error 404: Not Found): check the network"),
    "no gzip": (Reply(body=b"<html>sorry</html>"), NOT_IT),
    "corrupt gzip": (Reply(body=CORRUPT_GZIP), NOT_IT),
    "something else": (Reply(body=GOOD_GZIP), NOT_IT),
    "broken off": (Reply(body=GOOD_GZIP, cut=10), NOT_IT),
}


@pytest.mark.parametrize(("reply", "fault"), BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_a_bad_mirror_is_named_and_leaves_nothing(
    reply: Reply, fault: str, mirror: Kaggle, tmp_path: Path
) -> None:
    mirror.replies["GET"][-1] = reply
    line = complaint(FileError, fetch_dataset, tmp_path, "mnist", mirror.url)
    assert line.startswith(f"{mirror.url}/t10k-labels-idx1-ubyte.gz: {fault}")
    assert [path.name for path in tmp_path.iterdir()] == [".lock-mnist"]


def test_without_a_network_the_message_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: the connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        line = complaint(FileError, fetch_dataset, tmp_path, "mnist", url)
    assert line.startswith(f"{url}train-images-idx3-ubyte.gz: cannot be fetched (")
    assert "refused" in line
    with pytest.raises(FileError, match=r"cannot be fetched .*unknown url type"):
        fetch_dataset(tmp_path, "mnist", "nonsense")


def test_the_sample_is_split_80_to_20_alike_for_every_digit_and_always_the_same(
    tmp_path: Path,
) -> None:
    first, provenance, _ = fetch_dataset(tmp_path / "a", "sample")
    second, _, _ = fetch_dataset(tmp_path / "b", "sample")
    for name in (*DATA_FILES, "solution.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert not provenance.may_submit
    data = load_dataset(first)
    assert data.solution is not None
    assert (len(data.images), len(data.test_images)) == (1437, 360)
    fractions = np.bincount(data.solution) / np.bincount(np.append(data.labels, data.solution))
    assert abs(fractions - 0.2).max() < 0.005
    assert data.images[:, :4].max() == 0
    assert data.images.max() == 255


def test_a_single_csv_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    with pytest.raises(FileError, match=r"is one file: give the zip or folder of train\.csv, test"):
        fetch_dataset(tmp_path / "data", str(tmp_path / "train.csv"))
