"""MNIST's mirror and the bundled sample end as the same verified folder, or nothing changes."""

import gzip
import hashlib
import http.server
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.small import contents, images

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data import sources
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.data.dataset import load
from digit_recognizer.errors import FileError

Pages = dict[str, tuple[bytes, int]]  # by name: the body, and its promised length


@pytest.fixture
def mirror() -> Iterator[tuple[str, Pages]]:
    """A loopback server: its address, and its pages to fill."""
    pages: Pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/mnist/").removesuffix(".gz")
            if name not in pages:
                self.send_error(404)
                return
            body, promised = pages[name]
            self.send_response(200)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

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


def page(body: bytes) -> tuple[bytes, int]:
    return body, len(body)


@pytest.fixture
def small_mnist(mirror: tuple[str, Pages], monkeypatch: pytest.MonkeyPatch) -> tuple[str, Pages]:
    """A mirror of MNIST's four files with 12 + 5 images, the table of digests being theirs."""
    files = {
        "train-images-idx3-ubyte": images(12),
        "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": images(5, seed=1),
        "t10k-labels-idx1-ubyte": np.array([3, 1, 4, 1, 5], dtype=np.uint8),
    }
    for name, array in files.items():
        digest = hashlib.sha256(idx(array)).hexdigest()
        monkeypatch.setitem(sources.MNIST_DIGESTS, name, digest)
        mirror[1][name] = page(gzip.compress(idx(array)))
    return mirror


def test_mnist_is_fetched_with_its_official_split_and_the_solution(
    small_mnist: tuple[str, Pages], tmp_path: Path
) -> None:
    url, pages = small_mnist
    reports: list[tuple[str, int, int]] = []
    folder, provenance, fetched = fetch_dataset(
        tmp_path, "mnist", url.rstrip("/"), lambda *report: reports.append(report)
    )
    assert (folder, fetched) == (tmp_path / "mnist", True)
    assert not provenance.may_submit
    data = load(folder)
    np.testing.assert_array_equal(data.images, images(12))
    np.testing.assert_array_equal(data.test_images, images(5, seed=1))
    assert data.solution is not None
    assert data.solution.tolist() == [3, 1, 4, 1, 5]
    assert reports[-1][1] == reports[-1][2] > 0
    pages.clear()
    assert fetch_dataset(tmp_path, "mnist", url)[2] is False, "the second time needs no network"


LAST = "t10k-labels-idx1-ubyte"
GOOD_GZIP = gzip.compress(b"x" * 5000)
CORRUPT_GZIP = GOOD_GZIP[:20] + b"\xff\xff\xff" + GOOD_GZIP[23:]
NO_GZIP = "is not a gzip file: give another MNIST_URL"
BAD_PAGES = {
    "404": (None, "cannot be fetched (Not Found): check the network or give another MNIST_URL"),
    "no gzip": (page(b"<html>sorry</html>"), NO_GZIP),
    "corrupt gzip": (page(CORRUPT_GZIP), NO_GZIP),
    "gzip cut short": (page(GOOD_GZIP[:-9]), NO_GZIP),
    "something else": (page(GOOD_GZIP), "is not the original file: give another MNIST_URL"),
    "broken off": ((GOOD_GZIP[:10], 99), "broke off after 10 of 99 bytes: repeat the command"),
}


@pytest.mark.parametrize("kind", BAD_PAGES)
def test_a_bad_mirror_is_named_and_leaves_nothing(
    kind: str, small_mnist: tuple[str, Pages], tmp_path: Path
) -> None:
    url, pages = small_mnist
    answer, complaint = BAD_PAGES[kind]
    del pages[LAST]
    if answer:
        pages[LAST] = answer
    with pytest.raises(FileError) as caught:
        fetch_dataset(tmp_path, "mnist", url)
    assert str(caught.value) == f"{url}{LAST}.gz: {complaint}"
    assert contents(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".lock-mnist"]


def test_without_a_network_the_message_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: the connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(FileError) as caught:
            fetch_dataset(tmp_path, "mnist", url)
    assert str(caught.value).startswith(f"{url}train-images-idx3-ubyte.gz: cannot be fetched (")
    assert "refused" in str(caught.value)
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
    data = load(first)
    assert data.solution is not None
    assert (len(data.images), len(data.test_images)) == (1437, 360)
    fractions = np.bincount(data.solution) / np.bincount(np.append(data.labels, data.solution))
    assert abs(fractions - 0.2).max() < 0.005
    assert data.images[:, :4].max() == 0
    assert data.images.max() == 255
