"""``download``: fetch a dataset and verify it."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digit_recognizer.commands.console import echo, transfer_progress
from digit_recognizer.commands.options import Folders
from digit_recognizer.data.files import TransferProgress

if TYPE_CHECKING:
    from digit_recognizer.data.dataset import Provenance


def download(
    *,
    source: Annotated[str, Parameter(help="kaggle, mnist, sample, or a zip or folder")] = "kaggle",
    mnist_url: Annotated[str | None, Parameter(help="another mirror of MNIST")] = None,
    folders: Folders = Folders(),
) -> None:
    """Fetch a dataset and verify it."""
    from digit_recognizer.data.dataset import UNSUBMITTABLE

    with transfer_progress() as progress:
        folder, provenance, fetched = fetch_dataset(folders.data_dir, source, mnist_url, progress)
    state = "is in place" if fetched else "is there already, intact"
    echo(f"{folder}: {state} ({len(provenance.sha256)} files verified)")
    if provenance.repeats and not provenance.may_submit and source not in UNSUBMITTABLE:
        images = f"{provenance.repeats} of its test images"
        echo(f"warning: {images} are training rows too: runs on it are not submitted")


def fetch_dataset(
    data_dir: Path,
    source: str,
    mnist_url: str | None = None,
    progress: TransferProgress = lambda *_: None,
) -> "tuple[Path, Provenance, bool]":
    """Fetch the dataset of a source; do nothing where it is there and intact.

    Returns its folder, its provenance, and whether anything was fetched.
    """
    from digit_recognizer.data import dataset, sources

    has_own_folder = source in dataset.UNSUBMITTABLE  # and has a folder of its name
    folder = data_dir / (source if has_own_folder else dataset.COMPETITION)
    dataset.recover(folder)
    origin, version = sources.source_and_version(source)
    is_new = not dataset.is_intact(folder, origin, version)
    if is_new:
        with dataset.replacing(folder, origin, not has_own_folder, version) as new:
            _fill(new, source, mnist_url, progress)
    return folder, dataset.read_provenance(folder), is_new


def _fill(folder: Path, source: str, mnist_url: str | None, progress: TransferProgress) -> None:
    from digit_recognizer.data import sources

    if source == "sample":
        sources.make_sample(folder)
    elif source == "mnist":
        sources.fetch_mnist(folder, mnist_url or sources.MNIST_URL, progress)
    elif source != "kaggle":
        sources.copy_user_files(folder, Path(source).expanduser())
    else:
        from digit_recognizer.kaggle.client import Kaggle

        # Beside the folder that a failure removes, so that the next call resumes the transfer.
        transfers = folder.parent / ".download"
        archive = Kaggle(progress).download(transfers)
        try:
            sources.unzip(archive, folder)
        finally:
            shutil.rmtree(transfers, ignore_errors=True)


def ready_dataset(data: str | None, folders: Folders) -> str:
    """Return the name of the dataset to use, fetched if need be.

    It is `data` where given, else the competition's, else the sample if there are no
    credentials to download the competition's.
    """
    from digit_recognizer.data.dataset import COMPETITION, recover
    from digit_recognizer.kaggle.credentials import find_credentials

    if not data:
        folder = folders.data_dir / COMPETITION
        recover(folder)  # of a download that was killed at its very end
        is_there = (folder / "source.json").exists()
        data = COMPETITION if is_there or find_credentials() else "sample"
        if data == COMPETITION and not is_there:
            download(source="kaggle", folders=folders)
    if data == "sample":
        what = "scikit-learn's small sample, not Kaggle's data: the result is not one to submit"
        echo(f"note: this is {what}. 'make download' brings the competition's data.")
        download(source="sample", folders=folders)
    return data
