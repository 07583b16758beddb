"""Opening a run to write into it: alone, for the same request, over the same data, with room."""

import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from digit_recognizer.storage.files import read_json, remove_leftovers, write_json
from digit_recognizer.storage.runs import Run, RunError

NAMED_FIRST = ("dataset", "recipe", "blend_of")


def open_run(
    run: Run,
    request: dict[str, Any],
    environment: dict[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> FileLock:
    """Begin or go on with a run; hold the lock that is returned for as long as you write.

    Parameters
    ----------
    defaults : what settings were, in effect, in runs that are older than these settings

    Raises
    ------
    RunError
        If another process is at it, another request stands under this name, or the
        data changed since it began.
    """
    lock = lock_run(run)
    try:
        remove_leftovers(run.run_dir)
        if run.recipe_path.exists():
            _check_request(run, request, defaults or {})
            _check_data(run, environment)
        else:
            write_json(run.environment_path, environment)
            write_json(run.recipe_path, request)
    except BaseException:
        lock.release()
        raise
    return lock


def lock_run(run: Run) -> FileLock:
    """Take the run's lock; the kernel gives it back however this process ends.

    Raises
    ------
    RunError
        If another process has it, or the folder cannot be written.
    """
    try:
        run.run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run.run_dir / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{run.run_dir}: another process is working on this run:"
            " wait for it, or give another RUN"
        ) from None
    except OSError as error:
        raise RunError(f"{run.run_dir}: cannot be written ({error.strerror})") from None
    return lock


def _check_request(run: Run, request: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    before = {**defaults, **run.request()}
    # The recipe's name tells more than the settings that come with it.
    for key in sorted({*before, *request}, key=lambda key: (key not in NAMED_FIRST, key)):
        if before.get(key) != request.get(key):
            raise RunError(
                f"{run.run_dir}: was begun with {key} {before.get(key)}, not"
                f" {request.get(key)}: give another RUN, or delete the folder"
            )


def _check_data(run: Run, environment: dict[str, Any]) -> None:
    before = read_json(run.environment_path)
    if before.get("data") != environment["data"]:
        raise RunError(
            f"{run.run_dir}: the data changed since this run began:"
            " give another RUN, or delete the folder"
        )
    for name, digest in environment.get("parts", {}).items():
        if before.get("parts", {}).get(name) != digest:
            raise RunError(
                f"{run.run_dir}: {name} changed since it was blended:"
                " give another RUN, or delete the folder"
            )


def room_for(path: Path, n_bytes: int) -> None:
    """Raise RunError unless the disk that holds `path` has `n_bytes` left."""
    with suppress(OSError):
        free = shutil.disk_usage(path).free
        if free < n_bytes:
            missing = math.ceil((n_bytes - free) / 2**20)
            raise RunError(f"{path}: the disk lacks {missing} MiB for this run: make room")
