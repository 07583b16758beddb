"""A dataset that the user already has: a zip or a folder."""

import errno
import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from digit_recognizer.storage.competition import DATA_FILES
from digit_recognizer.storage.damage import is_bad_zip
from digit_recognizer.storage.files import Progress, StorageError, silent


def take_from_path(folder: Path, source: Path, progress: Progress = silent) -> None:
    """Fill `folder` from a zip or a folder that the user already has.

    Raises
    ------
    StorageError
        If there is no such path, the zip is damaged, a file is missing, or a path in the zip
        climbs out.
    """
    if source.is_dir():
        for name in DATA_FILES:
            _copy(source, name, folder)
    elif source.is_file():
        unzip(source, folder, progress)
    else:
        raise StorageError(f"{source}: is not there: give SOURCE=kaggle, mnist, sample or a path")


def _copy(source: Path, name: str, folder: Path) -> None:
    if not (source / name).is_file():
        raise StorageError(f"{source}: has no {name}: it must hold {_names()}")
    try:
        shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise _unreadable(error, source / name) from error
    dates = (source / name).stat()  # they are part of what tells a source's versions apart
    os.utime(folder / name, ns=(dates.st_atime_ns, dates.st_mtime_ns))


def _unreadable(error: OSError, source: Path) -> Exception:
    """`error` itself, unless it is about the user's own file."""
    full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # copyfile blames the source
    if full or error.filename != str(source):
        return error
    return StorageError(f"{source}: cannot be read ({error.strerror})")


def unzip(archive: Path, folder: Path, progress: Progress = silent) -> None:
    """Unpack the competition's three files and nothing else.

    Raises
    ------
    StorageError
        If it is no good zip, a path in it climbs out, or a file is missing.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            _unpack(bundle, _checked_entries(archive, bundle), folder, archive.name, progress)
    except Exception as error:
        if is_bad_zip(error):
            raise StorageError(f"{archive}: is not a good zip file: fetch it again") from None
        if isinstance(error, OSError):
            raise _unreadable(error, archive) from error
        raise


def _unpack(
    bundle: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    folder: Path,
    title: str,
    progress: Progress,
) -> None:
    total = sum(entry.file_size for entry in entries.values())
    done = 0
    for name, entry in entries.items():
        with bundle.open(entry) as packed, open(folder / name, "wb") as file:
            while part := packed.read(1 << 20):
                file.write(part)
                done += len(part)
                progress(f"unpacking {title}", done, total)


def _checked_entries(archive: Path, bundle: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in bundle.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if _climbs_out(path, entry):
            raise StorageError(
                f"{archive}: holds {entry.filename!r}, which climbs out: not unpacked"
            )
        if path.name in DATA_FILES and not entry.is_dir() and "__MACOSX" not in path.parts:
            if path.name in found:
                raise StorageError(f"{archive}: holds {path.name} twice: not unpacked")
            if entry.flag_bits & 1:
                raise StorageError(f"{archive}: is encrypted: unpack it, and give the folder")
            found[path.name] = entry
    for name in DATA_FILES:
        if name not in found:
            raise StorageError(f"{archive}: has no {name}: it must hold {_names()}")
    return found


def _climbs_out(path: PurePosixPath, entry: zipfile.ZipInfo) -> bool:
    drive = ":" in path.parts[0] if path.parts else False
    link = stat.S_ISLNK(entry.external_attr >> 16)
    return path.is_absolute() or drive or ".." in path.parts or link


def _names() -> str:
    return ", ".join(DATA_FILES)
