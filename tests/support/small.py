"""A small dataset as files."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.competition import DATA_FILES, write_pixels, write_submission
from digit_recognizer.data.dataset import Dataset

# Settings of a recipe that trains on the images as they are.
UNDISTORTED = dict.fromkeys(("rotation", "zoom", "shift", "shear", "elastic"), 0.0)


def images(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def noise_rows(n_train: int, n_test: int = 2) -> Dataset:
    """Images of noise, labelled with the ten digits in turn."""
    return Dataset(images(n_train), np.arange(n_train) % 10, images(n_test, seed=1))


def write_small(folder: Path, n_train: int = 20, n_test: int = 7, seed: int = 0) -> Path:
    """Write the competition's three files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pixels(folder / "train.csv", images(n_train, seed), np.arange(n_train) % 10)
    write_pixels(folder / "test.csv", images(n_test, seed + 1))
    write_submission(folder / "sample_submission.csv", np.zeros(n_test, dtype=np.int64))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file under `folder` but locks and caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith((".lock-", ".arrays-"))
    }


def data_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in DATA_FILES}


def zipped(path: Path, folder: Path, prefix: str = "", names: tuple[str, ...] = DATA_FILES) -> Path:
    """Zip the competition's files of `folder` at `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.write(folder / name, prefix + name)
    return path


@contextmanager
def no_file_above(n_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond `n_bytes`: the nearest thing to a full disk."""
    import resource  # Windows has none

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
