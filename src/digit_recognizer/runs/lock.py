"""Locks: a run is written by one process at a time, for one request over one dataset."""

import math
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from digit_recognizer.data.files import remove_leftovers, write_json
from digit_recognizer.errors import RunError
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

REQUEST_KEYS_FIRST = ("dataset", "recipe", "blend_of")


def begin_run(run: Run, request: Request, environment: Environment) -> FileLock:
    """Begin or continue a run; hold the returned lock for as long as you write.

    Refuses a run that another process writes, another request under the same name, and data
    that changed since it began.
    """
    lock = lock_run(run)
    try:
        remove_leftovers(run.run_dir)
        if run.recipe_path.exists():
            _check_request(run, request)
            _check_data(run, environment)
        else:
            environment.write(run.environment_path)
            write_json(run.recipe_path, request.as_dict())
    except BaseException:
        lock.release()
        raise
    return lock


def lock_run(run: Run) -> FileLock:
    """Take the run's lock; the operating system releases it however this process ends."""
    try:
        run.run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run.run_dir / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        reason = "another process is working on this run: wait for it, or give another RUN"
        raise RunError(f"{run.run_dir}: {reason}") from None
    except OSError as error:
        raise RunError(f"{run.run_dir}: cannot be written ({error.strerror})") from None
    return lock


def _check_request(run: Run, request: Request) -> None:
    before, asked = run.request().as_dict(), request.as_dict()
    # The recipe's name tells more than the settings that come with it.
    for key in sorted({*before, *asked}, key=lambda key: (key not in REQUEST_KEYS_FIRST, key)):
        if before.get(key) != asked.get(key):
            raise _refusal(run, f"was begun with {key} {before.get(key)}, not {asked.get(key)}")


def _check_data(run: Run, environment: Environment) -> None:
    before = run.environment()
    if before.data != environment.data:
        raise _refusal(run, "the data changed since this run began")
    for name, digest in environment.parts.items():
        if before.parts.get(name) != digest:
            raise _refusal(run, f"{name} changed since it was blended")


def _refusal(run: Run, reason: str) -> RunError:
    return RunError(f"{run.run_dir}: {reason}: give another RUN, or delete the folder")


def ensure_free_space(path: Path, n_bytes: int) -> None:
    """Refuse to go on unless the disk that holds `path` has `n_bytes` left."""
    with suppress(OSError):
        free = shutil.disk_usage(path).free
        if free < n_bytes:
            missing = math.ceil((n_bytes - free) / 2**20)
            raise RunError(f"{path}: the disk lacks {missing} MiB for this run: make room")
