"""`make download`: bring a dataset, from wherever, into its verified folder."""

from pathlib import Path

from digit_recognizer.storage import datasets, sources
from digit_recognizer.storage.datasets import Provenance
from digit_recognizer.storage.sources import Progress

COMPETITION = "digit-recognizer"


def dataset_of(source: str) -> str:
    """The name of the folder that a source fills."""
    return source if source in ("mnist", "sample") else COMPETITION


def download(
    data_dir: Path, source: str, mnist_url: str | None = None, progress: Progress = sources.silent
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
    datasets.recover(folder)
    origin = origin_of(source, mnist_url)
    if datasets.is_intact(folder, origin):
        return folder, Provenance.read(folder), False
    may_submit = source not in ("mnist", "sample")
    with datasets.replacing(folder, origin, may_submit) as aside:
        _fill(aside, source, mnist_url, progress)
    return folder, Provenance.read(folder), True


def origin_of(source: str, mnist_url: str | None = None) -> str:
    """How ``source.json`` names a source: a path with its content's date and size."""
    if source == "mnist":
        return f"mnist {mnist_url or sources.MNIST_URL}"
    if source in ("kaggle", "sample"):
        return source
    path = Path(source).expanduser().resolve()
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    facts = [f"{f.stat().st_size} {f.stat().st_mtime_ns}" for f in files if f.is_file()]
    return " ".join([str(path), *facts])


def _fill(folder: Path, source: str, mnist_url: str | None, progress: Progress) -> None:
    if source == "sample":
        sources.make_sample(folder)
    elif source == "mnist":
        sources.fetch_mnist(folder, mnist_url or sources.MNIST_URL, progress=progress)
    elif source == "kaggle":
        from digit_recognizer.remote import client

        archive = client.download(folder, progress)
        sources.unzip(archive, folder, progress)
        archive.unlink()
    else:
        sources.take_from_path(folder, Path(source).expanduser(), progress)
