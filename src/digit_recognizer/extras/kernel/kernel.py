"""Push a kernel that trains a run, wait for its end, and fetch the run."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from digit_recognizer.errors import FileError, KaggleError, RunError
from digit_recognizer.extras.kernel.api import Kernels, Status
from digit_recognizer.extras.kernel.archive import kernel_script, unpack_run
from digit_recognizer.runs.environment import commit
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

PAUSE = 20.0  # seconds between two requests; a default run takes minutes
OUTPUT = "run.zip"
N_LOG_LINES = 12

Waiting = Callable[[float, float], None]  # seconds waited, and at most

logger = logging.getLogger(__name__)


def train_on_kaggle(
    run: Run, request: Request, force: bool, limit: float, waiting: Waiting
) -> bool:
    """Train a run on Kaggle, or continue with the kernel that an earlier call pushed.

    Parameters
    ----------
    force : push again although a kernel of this run ended, well or not
    limit : seconds to wait for its end
    waiting : progress callback

    Returns
    -------
    whether the run is here; False if it is not finished when the limit is reached
    """
    if _is_here(run, request):
        logger.info("%s: is there already", run.run_dir)
        return True
    kernels = Kernels()
    name = kernels.full_name(slug(run.name, request))
    status = kernels.status(name)
    if status is None or (force and not status.is_active):
        status = _push(kernels, name, run, request, is_new=status is None)
    else:
        logger.info("found: https://www.kaggle.com/code/%s (%s)", name, status.name.lower())
    if status.is_active:
        status = _wait_for_end(kernels, name, limit, waiting)
    if status.is_active:
        logger.info("%s is still %s: the same command goes on from here", name, status.name.lower())
        return False
    if status.name != "COMPLETE":
        reason = f" ({status.reason.rstrip('.')})" if status.reason else ""
        raise _failure(kernels, name, f"with the status {status.name.lower()}{reason}")
    _fetch_run(kernels, name, run, request)
    machine = run.environment()
    logger.info("brought back: %s (trained on %s)", run.run_dir, machine.hardware)
    if machine.device == "cpu":
        logger.info("note: Kaggle gave it no GPU that works: it was trained on the CPU")
    return True


def slug(run_name: str, request: Request) -> str:
    """Return a kernel's name, unique to the run and its request.

    Kaggle makes the slug from the title, which has at most 50 characters.
    """
    text = json.dumps([run_name, request.as_dict()], sort_keys=True)
    plain = re.sub("[^a-z0-9]+", "-", run_name.lower()).strip("-")[:38].strip("-")
    return f"{plain or 'run'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _is_here(run: Run, request: Request) -> bool:
    """Return whether the run is finished; RunError if its folder holds something else."""
    if not run.run_dir.exists():
        return False
    if not run.recipe_path.is_file() or run.request() != request:
        raise RunError(
            f"{run.run_dir}: is there, and of another request: give another RUN, or delete it"
        )
    if not run.is_done():
        raise RunError(
            f"{run.run_dir}: was begun here: 'make train' with the same settings ends it; or"
            " give another RUN, or delete the folder"
        )
    return True


def _push(kernels: Kernels, name: str, run: Run, request: Request, is_new: bool) -> Status:
    with suppress(KaggleError):
        logger.info("GPU hours left this week: %.1f of %.0f", *kernels.gpu_hours())
    with _arriving_dir(run.run_dir.parent) as folder:
        page = kernels.push(name, kernel_script(run.name, request, commit()), folder)
    logger.info("pushed: %s", page)
    if not is_new:  # for a moment, Kaggle may still answer for the version before
        kernels.policy.sleep(PAUSE)
    return Status("QUEUED", "")


def _wait_for_end(kernels: Kernels, name: str, limit: float, waiting: Waiting) -> Status:
    """Return the status once the kernel has ended, or as it is at the limit."""
    waited, before = 0.0, ""
    while True:
        try:
            # A kernel just pushed may not be listed yet.
            status = kernels.status(name) or Status("QUEUED", "")
        except KaggleError as error:
            raise KaggleError(
                f"{name} goes on at Kaggle, its status is not known: {error}: repeat the command"
            ) from None
        if status.name != before:
            logger.info("%5.1f min  %s", waited / 60, status.name.lower())
        if not status.is_active or waited >= limit:
            return status
        waiting(waited, limit)
        kernels.policy.sleep(PAUSE)
        waited, before = waited + PAUSE, status.name


def _failure(kernels: Kernels, name: str, end: str) -> KaggleError:
    """Return the error for a kernel without a run, with the end of its log if it can be read."""
    try:
        lines = [f"  {line[:300]}" for line in kernels.log_lines(name)[-N_LOG_LINES:]]
        log = "\n".join(["the end of its log:", *lines])
    except KaggleError as error:
        log = f"its log cannot be read: {error}"
    page = f"https://www.kaggle.com/code/{name}"
    line = f"{name}: ended {end}: see {page}, then repeat with FORCE=1"
    return KaggleError(kernels.hide_secrets(line), kernels.hide_secrets(log))


def _fetch_run(kernels: Kernels, name: str, run: Run, request: Request) -> None:
    with _arriving_dir(run.run_dir.parent) as folder:
        archive = kernels.fetch(name, OUTPUT, folder)
        if archive is None:
            raise _failure(kernels, name, f"without {OUTPUT}")
        arrived = Run(folder / run.name)
        unpack_run(archive, arrived, request)
        _is_here(run, request)  # it may have been begun meanwhile
        arrived.run_dir.rename(run.run_dir)


@contextmanager
def _arriving_dir(submissions_dir: Path) -> Iterator[Path]:
    """Create a temporary directory under ``.arriving``; remove it on exit."""
    arriving = submissions_dir / ".arriving"
    try:
        arriving.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=arriving, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise FileError(
            f"{submissions_dir}: cannot be written ({error.strerror or error}): make room or fix"
            " the permissions, then repeat the command"
        ) from error
    finally:
        with suppress(OSError):  # another process may use it
            arriving.rmdir()
