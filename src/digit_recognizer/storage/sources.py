"""Where a dataset can come from without an account: MNIST's mirror, the bundled sample."""

import gzip
import hashlib
import http.client
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.storage.competition import write_pixels, write_submission
from digit_recognizer.storage.files import Progress, StorageError, silent

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
TIMEOUT = 30  # seconds without a byte
# Decompressed content, by SHA-256: mirrors compress anew.
MNIST_DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def write_dataset(
    folder: Path,
    train: tuple[NDArray[np.uint8], NDArray[np.integer]],
    test: tuple[NDArray[np.uint8], NDArray[np.integer]],
) -> None:
    """Write images and labels as the competition's files, with ``solution.csv``."""
    write_pixels(folder / "train.csv", *train)
    write_pixels(folder / "test.csv", test[0])
    write_submission(folder / "sample_submission.csv", np.zeros(len(test[0]), dtype=np.int64))
    write_submission(folder / "solution.csv", test[1])


def make_sample(folder: Path) -> None:
    """Fill `folder` with scikit-learn's 1,797 handwritten digits, 80/20, at 28x28.

    Real digits (UCI optdigits, 8x8, values 0 to 16), scaled to MNIST's 20x20 box; not MNIST.
    """
    import cv2
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.zeros((len(digits.images), 28, 28), dtype=np.uint8)
    for image, small in zip(images, digits.images, strict=True):
        large = cv2.resize(small / 16 * 255, (20, 20), interpolation=cv2.INTER_CUBIC)
        image[4:24, 4:24] = np.clip(large, 0, 255).round().astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0
    )
    write_dataset(
        folder, (images[train], digits.target[train]), (images[test], digits.target[test])
    )


def fetch_mnist(
    folder: Path,
    base_url: str = MNIST_URL,
    digests: dict[str, str] = MNIST_DIGESTS,
    progress: Progress = silent,
) -> None:
    """Fill `folder` with MNIST's official 60,000/10,000 split from an open mirror.

    Raises
    ------
    StorageError
        If the mirror cannot be reached or serves something else.
    """
    files = {}
    for name, digest in digests.items():
        url = f"{base_url.rstrip('/')}/{name}.gz"
        try:
            files[name] = gzip.decompress(_fetch(url, name, progress))
        except (OSError, EOFError, zlib.error):
            raise StorageError(f"{url}: is not a gzip file: give another MNIST_URL") from None
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise StorageError(f"{url}: is not the original file: give another MNIST_URL")
    images = [idx_array(files[name]).reshape(-1, 28, 28) for name in digests if "images" in name]
    labels = [idx_array(files[name]) for name in digests if "labels" in name]
    write_dataset(folder, (images[0], labels[0]), (images[1], labels[1]))


def idx_array(content: bytes) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes (Y. LeCun's format)."""
    n_axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=n_axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def _fetch(url: str, name: str, progress: Progress) -> bytes:
    content = bytearray()
    total = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while part := response.read(1 << 18):
                content += part
                progress(name, len(content), total)
    except urllib.error.HTTPError as error:
        error.close()
        raise StorageError(
            f"{url}: the server answered {error.code}: give another MNIST_URL"
        ) from None
    except http.client.IncompleteRead as error:
        content += error.partial
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise StorageError(
            f"{url}: cannot be fetched ({reason}): check the network or give another MNIST_URL"
        ) from None
    if len(content) < total:
        raise StorageError(
            f"{url}: broke off after {len(content)} of {total} bytes: repeat the command"
        )
    return bytes(content)
