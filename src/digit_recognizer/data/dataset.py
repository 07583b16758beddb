"""A dataset's folder: verified when it is fetched, then read from an array cache."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os.path import realpath  # unlike Path.resolve, without an error for a loop of links
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data import competition, files
from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.errors import FileError, FormatError

COMPETITION = "digit-recognizer"  # Kaggle's name for it, and the folder of its data
UNSUBMITTABLE = ("mnist", "sample")  # each has a folder of its own name
# The fraction of test images that may be byte-for-byte copies of training rows by chance. There
# is none in MNIST nor in the sample; a fold of a leaked test set has hundreds of times this.
MAX_DUPLICATE_FRACTION = 0.001


@dataclass(frozen=True)
class Provenance:
    """The origin of a dataset: the content of ``source.json``."""

    source: str
    version: str  # of the source's content: sizes and dates of a user's own files
    fetched: str
    may_submit: bool  # false for mnist, sample, and where too many test images are training rows
    repeats: int  # test images that are also training rows
    sha256: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory."""

    images: NDArray[np.uint8]  # [N, 28, 28]
    labels: NDArray[np.int64]  # [N]
    test_images: NDArray[np.uint8]  # [M, 28, 28]
    solution: NDArray[np.int64] | None = None  # [M], where the labels of the test rows are known
    provenance: Provenance | None = None  # where it was loaded from a verified folder

    def first_rows(self) -> NDArray[np.int64]:
        """Return for each training row [N] the first row with the same image."""
        firsts: dict[bytes, int] = {}  # 0.03 s for 42,000 rows
        rows = [firsts.setdefault(image.tobytes(), row) for row, image in enumerate(self.images)]
        return np.array(rows, dtype=np.int64)

    @property
    def n_duplicates(self) -> int:
        """The number of training rows whose image an earlier row has too."""
        return int((self.first_rows() != np.arange(len(self.images))).sum())


def load_dataset(folder: Path) -> Dataset:
    """Read a verified dataset, from its array cache where there is one (0.2 s, not 2 s).

    The cache is keyed by the content of the CSVs, which are hashed at every load.
    """
    recover(folder)
    provenance = read_provenance(folder)
    if changed := _changed_file(folder, provenance):
        advice = f"run 'make download SOURCE={_quoted(provenance.source)}' again"
        raise FileError(f"{changed}: is missing or no longer what was verified: {advice}")
    try:
        data = Dataset(**files.read_arrays(_cache(folder, provenance)))
    except Exception:  # a damaged cache is no loss: the CSVs are there
        data = _read_csvs(folder, "solution.csv" in provenance.sha256)
        with suppress(OSError, FileError):  # no cache where nothing can be written
            _write_cache(folder, provenance, data)
    return replace(data, provenance=provenance)


def _cache(folder: Path, provenance: Provenance) -> Path:
    key = "-".join(digest[:16] for digest in provenance.sha256.values())
    return folder / f".arrays-{key}.npz"


def read_provenance(folder: Path) -> Provenance:
    """Read a dataset's ``source.json``."""
    source = f" SOURCE={folder.name}" if folder.name in UNSUBMITTABLE else ""
    path, command, choice = folder / "source.json", f"make download{source}", ""
    if not folder.is_dir():
        others = sorted(other.parent.name for other in folder.parent.glob("[!.]*/source.json"))
        choice = f", or use one of these datasets: {', '.join(others)}" if others else ""
        raise FileError(f"{folder}: is not there: run '{command}'{choice}")
    if not path.exists():
        own = f"'make download SOURCE={_quoted(str(folder))}'"
        if folder.name == COMPETITION:
            choice = f", or {own} to verify the files that are"
        elif folder.name not in UNSUBMITTABLE:
            effect = f"puts its files in place of {COMPETITION}'s"
            raise FileError(f"{path}: is not there: {own} {effect}, and verifies them")
        raise FileError(f"{path}: is not there: run '{command}'{choice}")
    advice = f"run '{command}' again"
    provenance = files.read_json_as(path, Provenance, advice)
    if not set(DATA_FILES) <= set(provenance.sha256) <= {*DATA_FILES, "solution.csv"}:
        raise FileError(f"{path}: is damaged: {advice}")
    return provenance


def verify(folder: Path, source: str, may_submit: bool, version: str = "") -> Provenance:
    """Check every file of a dataset, cache its arrays, and return its provenance."""
    data = _read_csvs(folder, (folder / "solution.csv").exists())
    n_rows = len(data.test_images)
    competition.read_submission(folder / "sample_submission.csv", n_rows)
    known = {image.tobytes() for image in data.images}
    repeats = sum(image.tobytes() in known for image in data.test_images)
    may_submit = may_submit and repeats <= max(1, MAX_DUPLICATE_FRACTION * n_rows)
    names = DATA_FILES if data.solution is None else (*DATA_FILES, "solution.csv")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digests = {name: files.sha256(folder / name) for name in names}
    provenance = Provenance(source, version, now, may_submit, repeats, digests)
    with suppress(OSError, FileError):  # no loss: `load_dataset` reads the CSVs
        _write_cache(folder, provenance, data)
    return provenance


def is_intact(folder: Path, source: str, version: str = "") -> bool:
    """Return whether `folder` holds a dataset from `source` with every file as verified."""
    try:
        provenance = read_provenance(folder)
    except FileError:
        return False
    is_known = (provenance.source, provenance.version) == (source, version)
    return is_known and not _changed_file(folder, provenance)


def _changed_file(folder: Path, provenance: Provenance) -> Path | None:
    """Return the first file that is missing or no longer what was verified."""
    for name, verified in provenance.sha256.items():
        path = folder / name
        if not path.is_file() or files.sha256(path) != verified:
            return path
    return None


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def _read_csvs(folder: Path, has_solution: bool) -> Dataset:
    images, labels = competition.read_train(folder / "train.csv")
    test_images, solution = competition.read_test(folder / "test.csv"), None
    if has_solution:
        solution = competition.read_submission(folder / "solution.csv", len(test_images))
    return Dataset(images, labels, test_images, solution)


def _write_cache(folder: Path, provenance: Provenance, data: Dataset) -> None:
    files.remove_leftovers(folder)
    for stale in folder.glob(".arrays-*"):
        stale.unlink(missing_ok=True)
    arrays = {name: array for name, array in vars(data).items() if array is not None}
    files.write_arrays(_cache(folder, provenance), arrays)


@contextmanager
def replacing(folder: Path, source: str, may_submit: bool, version: str = "") -> Iterator[Path]:
    """Yield an empty folder to fill with a dataset; once verified, it replaces `folder`.

    If anything fails, `folder` stays unchanged.
    """
    folder = Path(realpath(folder))  # only the target of a link has neighbours on the same disk
    new = folder.with_name(f".new-{folder.name}")
    taken = f"{folder}: another process is replacing it: wait for it, then repeat"
    try:
        with files.lock(folder.with_name(f".lock-{folder.name}"), taken):
            try:
                shutil.rmtree(new, ignore_errors=True)  # of a killed download
                new.mkdir()
                yield new
                provenance = verify(new, source, may_submit, version)
                files.write_json(new / "source.json", provenance)
                _replace(folder, new)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        if error.filename and not Path(error.filename).is_relative_to(folder.parent):
            raise  # of a user's own file
        reason = error.strerror or error
        advice = "make room (300 MB) or fix the permissions, then repeat the command"
        raise FileError(f"{folder}: cannot be written ({reason}): {advice}") from error
    # The new folder is removed: name what the user will find.
    except FormatError as error:
        raise FormatError(str(error).replace(f"{new}/", f"{source}: ")) from error
    except FileError as error:
        raise type(error)(str(error).replace(new.name, folder.name)) from error


def _replace(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`; a kill between the renames is repaired by `recover`."""
    recover(folder)
    if folder.exists():
        folder.rename(folder.with_name(f".old-{folder.name}"))
    try:
        new.rename(folder)
    finally:
        recover(folder)


def recover(folder: Path) -> None:
    """Finish a replacement that was cut short, and move over a user's own files."""
    with suppress(OSError):  # another process may be tidying up too
        folder = Path(realpath(folder))
        old = folder.with_name(f".old-{folder.name}")
        if not folder.exists():
            old.rename(folder)
            return
        ours = {*DATA_FILES, "solution.csv", "source.json"}
        for entry in old.iterdir():
            is_ours = entry.name in ours or entry.name.startswith((".arrays-", ".tmp-"))
            if not is_ours and not (folder / entry.name).exists():
                entry.rename(folder / entry.name)  # a user's notes outlive the data beside them
        shutil.rmtree(old, ignore_errors=True)
