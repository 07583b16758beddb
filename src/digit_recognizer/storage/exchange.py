"""One folder takes another's place: whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from digit_recognizer.storage.competition import DATA_FILES
from digit_recognizer.storage.files import StorageError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from replacing `folder`; StorageError where one is at it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".lock-{folder.name}"), timeout=0):
            yield
    except Timeout:
        raise StorageError(
            f"{folder}: another process is replacing it: wait for it, then repeat"
        ) from None


def swap(new: Path, folder: Path) -> None:
    """Put `new` where `folder` is. A kill in between is mended by `recover`.

    Of what stood there, files that are none of a dataset's move over to the new folder.
    """
    recover(folder)
    old = _old(folder)
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    finally:
        recover(folder)


def recover(folder: Path) -> None:
    """End a replacement that was cut short: between its renames, or while tidying up."""
    folder = real(folder)
    old = _old(folder)
    if not old.is_dir():
        return
    with suppress(OSError):  # another process may be tidying up too
        if not folder.exists():
            old.rename(folder)
            return
        for entry in old.iterdir():
            if not _is_ours(entry.name) and not (folder / entry.name).exists():
                entry.rename(folder / entry.name)  # a user's notes outlive the data beside them
        shutil.rmtree(old, ignore_errors=True)


def real(folder: Path) -> Path:
    """Where `folder` lies, if it is a link: its neighbours there are on the same disk."""
    return folder.resolve() if folder.is_symlink() else folder


def _old(folder: Path) -> Path:
    return folder.with_name(f".old-{folder.name}")


def _is_ours(name: str) -> bool:
    made = {*DATA_FILES, "solution.csv", "source.json"}
    return name in made or name.startswith((".arrays-", ".tmp-"))
