"""`make kernel`: train on Kaggle's GPU, and bring the run back as if it were trained here."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.environment import commit
from digit_recognizer.learning.metrics import mean_proba
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.kernels import Kernels, Status
from digit_recognizer.remote.patience import Patience
from digit_recognizer.storage.bundle import script
from digit_recognizer.storage.competition import read_submission
from digit_recognizer.storage.files import StorageError, read_json
from digit_recognizer.storage.parcel import unpack_run
from digit_recognizer.storage.runs import Run, RunError, checked_name

PAUSE = 20.0  # seconds between two questions; a default run takes minutes
OUTPUT = "run.zip"
LAST_LINES = 12

Say = Callable[[str], None]
Waiting = Callable[[float, float], None]


def kernel(
    submissions_dir: Path,
    request: dict[str, Any],
    run_name: str,
    force: bool,
    limit: float,
    say: Say,
    waiting: Waiting = lambda waited, limit: None,
    patience: Patience | None = None,
) -> Run | None:
    """Train a run on Kaggle, or go on with the kernel that an earlier call pushed.

    Parameters
    ----------
    request : the content of ``recipe.json``
    force : push anew although a kernel of this run ended, well or not
    limit : seconds to wait for its end
    say, waiting : take lines, and seconds waited so far and at most

    Returns
    -------
    the run, or None if it is not finished when the limit is reached

    Raises
    ------
    StorageError, RemoteError
        With what to do; nothing stands half-written under `submissions_dir`.
    """
    run = Run(submissions_dir / checked_name(run_name))
    if _is_here(run, request):
        say(f"{run.run_dir}: is there already")
        return run
    kernels = Kernels(patience)
    name = kernels.full_name(slug(run_name, request))
    status = kernels.status(name)
    if status is None or (force and not status.going):
        with _aside(submissions_dir) as folder:
            page = kernels.push(name, script(run_name, request, commit()), folder)
        say(f"pushed: {page}")
        if status:  # for a moment, Kaggle may still answer for the version before
            kernels.patience.sleep(PAUSE)
        status = Status("QUEUED", "")
    else:
        say(f"found: https://www.kaggle.com/code/{name} ({status.name.lower()})")
    if status.going:
        status = _follow(kernels, name, limit, say, waiting)
    if status.going:
        say(f"{name} is still {status.name.lower()}: the same command goes on from here")
        return None
    if status.name != "COMPLETE":
        raise RemoteError(_failure(kernels, name, status), _last_lines(kernels, name))
    _bring_back(kernels, name, run, request)
    machine = read_json(run.environment_path)
    say(f"brought back: {run.run_dir} (trained on {machine.get('hardware')})")
    if machine.get("device") == "cpu":
        say("note: Kaggle gave it no GPU that works: it was trained on the CPU")
    return run


def slug(run_name: str, request: dict[str, Any]) -> str:
    """A kernel's name: the same for the same run and request, and no other.

    Kaggle makes the slug from the title, which has at most 50 characters.
    """
    text = json.dumps([run_name, request], sort_keys=True)
    plain = re.sub("[^a-z0-9]+", "-", run_name.lower()).strip("-")[:38].strip("-")
    return f"{plain or 'run'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _is_here(run: Run, request: dict[str, Any]) -> bool:
    """Whether the run is finished; RunError where its name is taken by something else."""
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


def _follow(kernels: Kernels, name: str, limit: float, say: Say, waiting: Waiting) -> Status:
    """The status once it has ended, or as it is when the limit is reached."""
    waited, before = 0.0, ""
    while True:
        try:
            # A kernel just pushed may not be listed yet.
            status = kernels.status(name) or Status("QUEUED", "")
        except RemoteError as error:
            raise RemoteError(
                f"{name} goes on at Kaggle, how is not known: {error}: repeat the command"
            ) from None
        if status.name != before:
            say(f"{waited / 60:5.1f} min  {status.name.lower()}")
        if not status.going or waited >= limit:
            return status
        waiting(waited, limit)
        kernels.patience.sleep(PAUSE)
        waited, before = waited + PAUSE, status.name


def _failure(kernels: Kernels, name: str, status: Status) -> str:
    reason = f" ({kernels.without_secrets(status.reason).rstrip('.')})" if status.reason else ""
    return (
        f"{name}: ended with the status {status.name.lower()}{reason}: see"
        f" https://www.kaggle.com/code/{name}, then repeat with FORCE=1"
    )


def _last_lines(kernels: Kernels, name: str) -> str:
    """The end of the kernel's log; what is missing of it hides no error."""
    try:
        lines = kernels.log_lines(name)[-LAST_LINES:]
    except RemoteError as error:
        return f"its log cannot be had: {error}"
    return kernels.without_secrets(
        "\n".join(["the end of its log:", *(f"  {line[:300]}" for line in lines)])
    )


def _bring_back(kernels: Kernels, name: str, run: Run, request: dict[str, Any]) -> None:
    with _aside(run.run_dir.parent) as folder:
        archive = kernels.fetch(name, OUTPUT, folder)
        if archive is None:
            raise RemoteError(
                f"{name}: ended without {OUTPUT}: see https://www.kaggle.com/code/{name}, then"
                " repeat with FORCE=1",
                _last_lines(kernels, name),
            )
        arrived = Run(folder / run.name)
        unpack_run(archive, arrived.run_dir, request)
        _refuse_other_answers(arrived, archive)
        _is_here(run, request)  # it may have been begun meanwhile
        try:
            arrived.run_dir.rename(run.run_dir)
        except OSError as error:
            raise StorageError(
                f"{run.run_dir}: cannot be put in place ({error.strerror}): repeat the command"
            ) from None


def _refuse_other_answers(run: Run, archive: Path) -> None:
    """RunError unless the submission is what the members' predictions come to."""
    members = [run.read_member(name) for name in run.member_names()]
    answers = mean_proba([member.test_logits for member in members]).argmax(axis=1)
    if not np.array_equal(answers, read_submission(run.submission_path, len(answers))):
        raise RunError(f"{archive.name}: its submission is not its members': it is not used")


@contextmanager
def _aside(submissions_dir: Path) -> Iterator[Path]:
    """A folder on the same disk that is gone in the end; two deep, where no run is looked for."""
    arriving = submissions_dir / ".arriving"
    try:
        arriving.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=arriving))
    except OSError as error:
        raise StorageError(
            f"{submissions_dir}: cannot be written ({error.strerror}): mend the permissions"
        ) from None
    try:
        yield folder
    except OSError as error:
        raise StorageError(
            f"{submissions_dir}: cannot be written ({error.strerror or error}): make room, then"
            " repeat the command"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another process may be at it
            arriving.rmdir()
