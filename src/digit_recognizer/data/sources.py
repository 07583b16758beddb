"""Sources of a dataset that need no account: the user's own files, MNIST, the sample."""

import gzip
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data import competition
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.data.dataset import UNSUBMITTABLE, read_provenance
from digit_recognizer.data.files import TransferProgress, is_bad_zip
from digit_recognizer.errors import FileError

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
GIVE_A_SOURCE = "give SOURCE=kaggle, mnist, sample or a path"
TIMEOUT = 30  # seconds without a byte
Labelled = tuple[NDArray[np.uint8], NDArray[np.integer]]  # images [N, 28, 28], labels [N]
# SHA-256 of the decompressed content: mirrors compress anew.
MNIST_DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def source_and_version(source: str) -> tuple[str, str]:
    """Return a source's name in ``source.json``, and the sizes and dates of a user's own files."""
    if source in ("kaggle", *UNSUBMITTABLE):
        return source, ""
    try:
        path = Path(source).expanduser().resolve(strict=True)
        files = [path / name for name in DATA_FILES] if path.is_dir() else [path]
        stats = [file.stat() for file in files if file.is_file()]
    except (OSError, RuntimeError) as error:  # RuntimeError: a home folder that is not there
        reason = getattr(error, "strerror", error)
        raise FileError(f"{source}: cannot be read ({reason}): {GIVE_A_SOURCE}") from None
    return str(path), ", ".join(f"{facts.st_size} {facts.st_mtime_ns}" for facts in stats)


def copy_user_files(folder: Path, source: Path) -> None:
    """Fill `folder` from a zip or a folder that the user already has."""
    _refuse_unsubmittable(source)
    if source.is_dir():
        for name in DATA_FILES:
            path = source / name
            if not path.is_file():
                raise _missing(source, name)
            facts = path.stat()
            competition.check_csv_size(path, facts.st_size)
            (folder / name).write_bytes(path.read_bytes())
            # Dates are part of what tells a source's versions apart.
            os.utime(folder / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    elif source.suffix.lower() == ".csv":
        raise FileError(f"{source}: is one file: give the zip or folder of {', '.join(DATA_FILES)}")
    elif source.is_file():
        unzip(source, folder)
    else:
        raise FileError(f"{source}: is neither a file nor a folder: {GIVE_A_SOURCE}")


def _refuse_unsubmittable(path: Path) -> None:
    """Refuse a copy of `mnist` or `sample`, which must not pass for the competition's data."""
    try:
        source = read_provenance(path).source
    except FileError:
        return  # no dataset of this program
    if source in UNSUBMITTABLE:
        raise FileError(f"{path}: is {source}, not the competition's data: use it as DATA={source}")


def _missing(source: Path, name: str) -> FileError:
    return FileError(f"{source}: has no {name}: it must hold {', '.join(DATA_FILES)}")


def unzip(archive: Path, folder: Path) -> None:
    """Unpack the competition's three files, whatever their folder is, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            for name, entry in _checked_entries(archive, bundle).items():
                with bundle.open(entry) as packed, open(folder / name, "wb") as file:
                    shutil.copyfileobj(packed, file)
    except Exception as error:
        if is_bad_zip(error):
            raise FileError(f"{archive}: cannot be unpacked: fetch it again") from None
        raise


def _checked_entries(archive: Path, bundle: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries to unpack, by the names of the competition's files."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in bundle.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.name in DATA_FILES and not entry.is_dir() and "__MACOSX" not in path.parts:
            if path.name in found:
                raise FileError(f"{archive}: holds {path.name} twice: not unpacked")
            competition.check_csv_size(f"{archive}: {path.name}", entry.file_size)
            found[path.name] = entry
    for name in DATA_FILES:
        if name not in found:
            raise _missing(archive, name)
    return found


def write_dataset(folder: Path, train: Labelled, test: Labelled) -> None:
    """Write images and labels as the competition's files, with ``solution.csv``."""
    competition.write_pixels(folder / "train.csv", *train)
    competition.write_pixels(folder / "test.csv", test[0])
    competition.write_submission(folder / "sample_submission.csv", np.zeros_like(test[1]))
    competition.write_submission(folder / "solution.csv", test[1])


def make_sample(folder: Path) -> None:
    """Fill `folder` with scikit-learn's 1,797 handwritten digits, 80/20, at 28x28.

    Real digits (UCI optdigits, 8x8, values 0 to 16), scaled to MNIST's 20x20 box; not MNIST.
    """
    import cv2
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    labels, images = digits.target, np.zeros((len(digits.images), 28, 28), dtype=np.uint8)
    for image, small in zip(images, digits.images, strict=True):
        large = cv2.resize(small / 16 * 255, (20, 20), interpolation=cv2.INTER_CUBIC)
        image[4:24, 4:24] = np.clip(large, 0, 255).round().astype(np.uint8)
    rows = np.arange(len(images))
    train, test = train_test_split(rows, test_size=0.2, stratify=labels, random_state=0)
    write_dataset(folder, (images[train], labels[train]), (images[test], labels[test]))


def fetch_mnist(folder: Path, base_url: str, progress: TransferProgress) -> None:
    """Fill `folder` with MNIST's official 60,000/10,000 split from an open mirror."""
    arrays = []
    for name, digest in MNIST_DIGESTS.items():
        url, content = f"{base_url.rstrip('/')}/{name}.gz", b""
        packed = _fetch(url, name, progress)
        with suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(packed)
        if hashlib.sha256(content).hexdigest() != digest:
            advice = "repeat the command, or give another MNIST_URL"
            raise FileError(f"{url}: is not the original file: {advice}")
        arrays.append(_idx_array(content))
    write_dataset(folder, (arrays[0], arrays[1]), (arrays[2], arrays[3]))


def _idx_array(content: bytes) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes (Y. LeCun's format)."""
    n_axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=n_axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def _fetch(url: str, name: str, progress: TransferProgress) -> bytes:
    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while part := response.read(1 << 18):
                content += part
                progress(name, len(content), total)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        advice = "check the network or give another MNIST_URL"
        raise FileError(f"{url}: cannot be fetched ({error}): {advice}") from None
    return bytes(content)
