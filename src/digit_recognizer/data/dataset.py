"""A dataset's folder: verified when it is fetched, then read from an array cache."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from digit_recognizer.data import competition, files
from digit_recognizer.data.competition import DATA_FILES, Dataset, Provenance
from digit_recognizer.errors import FileError, FormatError

COMPETITION = "digit-recognizer"  # Kaggle's name for it, and the folder of its data
UNSUBMITTABLE = ("mnist", "sample")  # each has a folder of its own name
# The fraction of test images that may also be a training row, byte for byte, by nature. There
# is none in MNIST nor in the sample; a fold of a leaked test set has hundreds of times this.
MAX_DUPLICATE_FRACTION = 0.001


def load(folder: Path) -> Dataset:
    """Read a verified dataset, from its array cache where there is one (0.2 s, not 2 s).

    The cache is keyed by the content of the CSVs, which are hashed at every load.
    """
    recover(folder)
    provenance = read_provenance(folder)
    for name in _changed_files(folder, provenance)[:1]:
        raise FileError(
            f"{folder / name}: is missing or no longer what was verified: run"
            f" '{_download_command(folder)}' again"
        )
    key = "-".join(digest[:16] for digest in provenance.sha256.values())
    cache = folder / f".arrays-{key}.npz"
    try:
        data = Dataset(**files.read_arrays(cache))
    except Exception:  # a damaged cache is no loss: the CSVs are there
        data = _read_csvs(folder)
        with suppress(OSError, FileError):  # no cache where nothing can be written
            _write_cache(cache, data)
    return replace(data, provenance=provenance)


def is_fetched(folder: Path) -> bool:
    """Return whether a folder holds a dataset that was verified, perhaps damaged since."""
    try:
        return (folder / "source.json").exists()
    except OSError as error:
        raise FileError(
            f"{folder}: cannot be read ({error.strerror}): fix the permissions, or use another folder"
        ) from None


def read_provenance(folder: Path) -> Provenance:
    """Read a dataset's ``source.json``."""
    path, command = folder / "source.json", _download_command(folder)
    if not is_fetched(folder):
        missing, choice = path, f", or 'make download SOURCE={folder}' to verify the files that are"
        if folder.name in UNSUBMITTABLE:  # its files would become the competition's
            choice = ""
        if not folder.is_dir():
            others = sorted(other.parent.name for other in folder.parent.glob("[!.]*/source.json"))
            choice = f", or use one of these datasets: {', '.join(others)}" if others else ""
            missing = folder
        raise FileError(f"{missing}: is not there: run '{command}'{choice}")
    try:
        provenance = Provenance(**files.read_json(path))
        if set(DATA_FILES) <= set(provenance.sha256) <= {*DATA_FILES, "solution.csv"}:
            return provenance
    except (FileError, TypeError):
        pass
    raise FileError(f"{path}: is damaged: run '{command}' again")


def _download_command(folder: Path) -> str:
    source = f" SOURCE={folder.name}" if folder.name in UNSUBMITTABLE else ""
    return f"make download{source}"


def verify(folder: Path, source: str, may_submit: bool, version: str = "") -> Provenance:
    """Check every file of a dataset and return its provenance."""
    data = _read_csvs(folder)
    n_rows = len(data.test_images)
    competition.read_submission(folder / "sample_submission.csv", n_rows)
    known = {image.tobytes() for image in data.images}
    repeats = sum(image.tobytes() in known for image in data.test_images)
    may_submit = may_submit and repeats <= max(1, MAX_DUPLICATE_FRACTION * n_rows)
    names = DATA_FILES if data.solution is None else (*DATA_FILES, "solution.csv")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digests = {name: files.sha256(folder / name) for name in names}
    return Provenance(source, version, now, may_submit, repeats, digests)


def is_intact(folder: Path, source: str, version: str = "") -> bool:
    """Return whether `folder` holds a dataset from `source` with every file as verified."""
    try:
        provenance = read_provenance(folder)
    except FileError:
        return False
    is_known = (provenance.source, provenance.version) == (source, version)
    return is_known and not _changed_files(folder, provenance)


def _changed_files(folder: Path, provenance: Provenance) -> list[str]:
    """Return the names of the files that are missing or no longer what was verified."""

    def digest(name: str) -> str:
        with suppress(OSError):
            return files.sha256(folder / name)
        return ""

    return [name for name, verified in provenance.sha256.items() if digest(name) != verified]


def _read_csvs(folder: Path) -> Dataset:
    images, labels = competition.read_train(folder / "train.csv")
    test_images, solution = competition.read_test(folder / "test.csv"), None
    if (folder / "solution.csv").exists():
        solution = competition.read_submission(folder / "solution.csv", len(test_images))
    return Dataset(images, labels, test_images, solution)


def _write_cache(cache: Path, data: Dataset) -> None:
    files.remove_leftovers(cache.parent)
    for stale in cache.parent.glob(".arrays-*"):
        stale.unlink(missing_ok=True)
    arrays = {name: array for name, array in vars(data).items() if array is not None}
    files.write_arrays(cache, arrays)


@contextmanager
def replacing(folder: Path, source: str, may_submit: bool, version: str = "") -> Iterator[Path]:
    """Yield an empty folder to fill with a dataset; once verified, it replaces `folder`.

    Whatever fails, `folder` is as it was.
    """
    try:
        folder = _resolve_link(folder)
        new = folder.with_name(f".new-{folder.name}")
        with _lock(folder):
            try:
                shutil.rmtree(new, ignore_errors=True)  # of a killed download
                new.mkdir()
                yield new
                try:
                    provenance = verify(new, source, may_submit, version)
                except FormatError as error:
                    raise FormatError(f"{source}: {str(error).replace(f'{new}/', '')}") from error
                files.write_json(new / "source.json", asdict(provenance))
                _replace(folder, new)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(folder.parent)):
            raise  # of a user's own file
        raise FileError(
            f"{folder}: cannot be written ({error.strerror or error}): make room (300 MB) or"
            " fix the permissions, then repeat the command"
        ) from error
    except FileError as error:
        # The new folder is removed: name the file where the user will look for it.
        raise type(error)(str(error).replace(f".new-{folder.name}", folder.name)) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep other processes from replacing `folder`."""
    if folder.parent.is_file():
        raise FileError(f"{folder.parent}: is a file: move it away, or use another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".lock-{folder.name}"), timeout=0):
            yield
    except Timeout:
        reason = "another process is replacing it: wait for it, then repeat"
        raise FileError(f"{folder}: {reason}") from None


def _replace(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`; a kill between the renames is repaired by `recover`."""
    recover(folder)
    if folder.exists():
        folder.rename(_old_dir(folder))
    try:
        new.rename(folder)
    finally:
        recover(folder)


def recover(folder: Path) -> None:
    """Finish a replacement that was cut short, and move over a user's own files."""
    with suppress(OSError):  # another process may be tidying up too
        folder = _resolve_link(folder)
        old = _old_dir(folder)
        if not folder.exists():
            old.rename(folder)
            return
        for entry in old.iterdir():
            if not _is_dataset_file(entry.name) and not (folder / entry.name).exists():
                entry.rename(folder / entry.name)  # a user's notes outlive the data beside them
        shutil.rmtree(old, ignore_errors=True)


def _resolve_link(folder: Path) -> Path:
    """Return the target of a link: only there are neighbours on the same disk."""
    return folder.resolve() if folder.is_symlink() else folder


def _old_dir(folder: Path) -> Path:
    return folder.with_name(f".old-{folder.name}")


def _is_dataset_file(name: str) -> bool:
    written = {*DATA_FILES, "solution.csv", "source.json"}
    return name in written or name.startswith((".arrays-", ".tmp-"))
