"""`make download`: bring a dataset, from wherever, into its verified folder."""

import shutil
from pathlib import Path

from digit_recognizer.storage import archives, datasets, sources
from digit_recognizer.storage.competition import DATA_FILES
from digit_recognizer.storage.datasets import COMPETITION, PRACTICE, Provenance
from digit_recognizer.storage.exchange import recover
from digit_recognizer.storage.files import Progress, StorageError, silent

NAMED_SOURCES = ("kaggle", *PRACTICE)


def dataset_of(source: str) -> str:
    """The name of the folder that a source fills."""
    return source if source in PRACTICE else COMPETITION


def download(
    data_dir: Path, source: str, mnist_url: str | None = None, progress: Progress = silent
) -> tuple[Path, Provenance, bool]:
    """Put the dataset from `source` in place; do nothing where it is there and intact.

    Parameters
    ----------
    data_dir : the folder that holds the datasets
    source : ``kaggle``, ``mnist``, ``sample`` or a path to a zip or folder
    mnist_url : another mirror of MNIST
    progress : told what is going on and how far it is

    Returns
    -------
    folder, provenance, and whether anything was fetched

    Raises
    ------
    StorageError, RemoteError
        With what to do. What was there before is still there.
    """
    folder = data_dir / dataset_of(source)
    recover(folder)
    origin, version = origin_of(source)
    if datasets.is_intact(folder, origin, version):
        return folder, Provenance.read(folder), False
    may_submit = source not in PRACTICE
    with datasets.replacing(folder, origin, may_submit, version) as aside:
        _fill(aside, source, mnist_url, progress)
    return folder, Provenance.read(folder), True


def origin_of(source: str) -> tuple[str, str]:
    """How ``source.json`` names a source, and the sizes and dates of a user's own files."""
    if source in NAMED_SOURCES:
        return source, ""
    path = Path(source).expanduser().resolve()
    files = [path / name for name in DATA_FILES] if path.is_dir() else [path]
    facts = [f"{f.stat().st_size} {f.stat().st_mtime_ns}" for f in files if f.is_file()]
    return str(path), ", ".join(facts)


def _fill(folder: Path, source: str, mnist_url: str | None, progress: Progress) -> None:
    if source == "sample":
        sources.make_sample(folder)
    elif source == "mnist":
        sources.fetch_mnist(folder, mnist_url or sources.MNIST_URL, progress=progress)
    elif source == "kaggle":
        from digit_recognizer.remote import client

        # Beside the folder that a failure removes, so that the next call resumes the transfer.
        transfers = folder.parent / ".download"
        archive = client.download(transfers, progress)
        try:
            archives.unzip(archive, folder, progress)
        finally:
            shutil.rmtree(transfers, ignore_errors=True)
    else:
        path = Path(source).expanduser()
        _refuse_unsubmittable(path)
        archives.take_from_path(folder, path, progress)


def _refuse_unsubmittable(path: Path) -> None:
    """Turn away a copy of `mnist` or `sample`, which must not pass for the competition's."""
    try:
        source = Provenance.read(path).source
    except StorageError:
        return  # no dataset that was put in place here before
    if source in PRACTICE:
        raise StorageError(
            f"{path}: is {source}, not the competition's data: use it as DATA={source}"
        )
