"""Locks: a run is written by one process at a time, for one request over one dataset."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from digit_recognizer.data.files import remove_leftovers, write_json
from digit_recognizer.errors import RunError
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run


@contextmanager
def begin_run(run: Run, request: Request, environment: Environment) -> Iterator[None]:
    """Begin or continue a run, and hold its lock.

    Refuses a run that another process writes, another request under the same name, and data
    that changed since it began.
    """
    with lock_run(run):
        remove_leftovers(run.run_dir)
        if run.recipe_path.exists():
            if change := _find_change(run, request, environment):
                raise RunError(f"{run.run_dir}: {change}: give another RUN, or delete the folder")
        else:
            environment.write(run.environment_path)
            write_json(run.recipe_path, request.as_dict())
        yield


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


def _find_change(run: Run, request: Request, environment: Environment) -> str:
    """Return what differs from when the run began, "" if nothing does."""
    before, asked = run.request().as_dict(), request.as_dict()
    for key in {**before, **asked}:
        if before.get(key) != asked.get(key):
            if key == "network_source":
                return f"{asked['network'].partition(':')[0]} changed since this run began"
            return f"was begun with {key} {before.get(key)}, not {asked.get(key)}"
    began = run.environment()
    if began.data != environment.data:
        return "the data changed since this run began"
    for name, digest in environment.parts.items():
        if began.parts.get(name) != digest:
            return f"{name} changed since it was blended"
    return ""
