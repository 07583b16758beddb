"""Push a kernel that trains a run, wait for its end, and fetch the run."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.data.files import write_json, write_text
from digit_recognizer.errors import KaggleError, RunError
from digit_recognizer.extras.kernel.archive import OUTPUT, kernel_script, unpack_run
from digit_recognizer.kaggle.client import Kaggle
from digit_recognizer.kaggle.credentials import PAGE
from digit_recognizer.kaggle.retry import status_of
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

PAUSE = 20.0  # seconds between two requests; a default run takes minutes
N_LOG_LINES = 12
CODE_FILE = "digit_recognizer.py"
METADATA = {
    "code_file": CODE_FILE,
    "language": "python",
    "kernel_type": "script",
    "is_private": True,
    "enable_gpu": True,
    "enable_internet": False,
    # On Kaggle's P100, the other choice, its image's torch finds a GPU and fails at once.
    "machine_shape": "NvidiaTeslaT4",
    "competition_sources": [COMPETITION],
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """A session's status (QUEUED, RUNNING, COMPLETE, ERROR, …) and the reason for a failure."""

    name: str
    reason: str = ""

    @property
    def is_active(self) -> bool:
        """True until the session has ended."""
        return self.name in ("QUEUED", "RUNNING", "UNKNOWN")


class Kernel(Kaggle):
    """A kernel of the signed-in user; what Kaggle refuses is a KaggleError."""

    def __init__(self, slug: str) -> None:
        super().__init__()
        owner = str(self._client.config_values.get("username") or "")
        if not owner:
            where = self.credentials.location
            raise KaggleError(f"{where}: names no user: set KAGGLE_USERNAME beside it")
        self.name = f"{owner}/{slug}"
        self.page = f"https://www.kaggle.com/code/{self.name}"

    def status(self) -> Status | None:
        """Return the status of the latest session; None if the kernel is not there or never ran."""

        def ask() -> Status | None:
            try:
                answer = self._client.kernels_status(self.name)
            except KeyError:
                return Status("UNKNOWN")  # new to Kaggle's client
            except (ValueError, requests.HTTPError) as error:
                # Not there: a 404, or a 401 or 403 that the client turned into this message.
                if status_of(error) == 404 or str(error).startswith("Cannot access kernel"):
                    return None
                raise
            if answer.status.name == "NEW_SCRIPT":  # saved, and never run
                return None
            return Status(answer.status.name, " ".join((answer.failure_message or "").split()))

        return self._request(ask)

    def push(self, script: str) -> None:
        """Save a new version of the private kernel, which starts it.

        Only "too many requests" is repeated: anything else may have started it.
        """
        title = self.name.partition("/")[2].replace("-", " ")
        with TemporaryDirectory() as folder:
            write_text(Path(folder, CODE_FILE), script)
            metadata = {"id": self.name, "title": title, **METADATA}
            write_json(Path(folder, "kernel-metadata.json"), metadata)
            try:
                answer = self._request(
                    lambda: self._client.kernels_push(folder),
                    is_retried=lambda error: status_of(error) == 429,
                )
            except KaggleError as error:
                lost = error.status is None or error.status >= 500
                start = "it is not known whether it was pushed" if lost else "was not pushed"
                raise KaggleError(f"{self.name}: {start}: {error}") from None
        if answer.error:  # quota and the like: nothing was raised
            reason = self.hide_secrets(" ".join(answer.error.split())).rstrip(".")
            raise KaggleError(
                f"{self.name}: Kaggle does not start it: {reason}: see"
                " https://www.kaggle.com/settings for your GPU quota and phone verification"
            )
        if answer.invalid_competition_sources:
            raise KaggleError(
                f"{self.name}: Kaggle does not give it the data: accept the rules at"
                f" {PAGE}/rules, then repeat with FORCE=1"
            )

    def fetch(self, folder: Path) -> bool:
        """Fetch ``run.zip`` into `folder`; return whether the kernel made it."""
        # The pattern is what keeps a file called ../../x from being written.
        only = rf"\A{re.escape(OUTPUT)}\Z"
        arguments = (self.name, str(folder), only, True, True)
        self._request(lambda: self._client.kernels_output(*arguments))
        return (folder / OUTPUT).is_file()

    def failure(self, end: str) -> KaggleError:
        """Return the error for a session without a run, with the end of its log if readable."""
        try:
            text = self._request(lambda: self._client.kernels_logs(self.name))
            lines = [f"  {line[:300]}" for line in _log_lines(text)[-N_LOG_LINES:]]
            log = "\n".join(["the end of its log:", *lines])
        except KaggleError as error:
            log = f"its log cannot be read: {error}"
        line = f"{self.name}: ended {end}: see {self.page}, then repeat with FORCE=1"
        return KaggleError(self.hide_secrets(line), self.hide_secrets(log))


def _log_lines(text: str) -> list[str]:
    """Return the lines of a log: a JSON list of what was written when, or plain text."""
    with suppress(ValueError, TypeError, KeyError):
        text = "".join(str(part["data"]) for part in json.loads(text))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def train_on_kaggle(
    run: Run, request: Request, force: bool, limit: float, waiting: Callable[[float, float], None]
) -> bool:
    """Train a run on Kaggle, or continue with the kernel that an earlier call pushed.

    Return whether the run is here: False if it is not finished after `limit` seconds. With
    `force`, push again although its kernel ended, well or not. `waiting` is called with the
    seconds waited and those at most.
    """
    if _is_here(run, request):
        logger.info("%s: is there already", run.run_dir)
        return True
    kernel = Kernel(slug(run.name, request))
    status = kernel.status()
    if status is None or (force and not status.is_active):
        _push(kernel, run, request)
        if status:  # for a moment, Kaggle may still answer for the version before
            kernel.policy.sleep(PAUSE)
    else:
        logger.info("found: %s (%s)", kernel.page, status.name.lower())
    status = _wait_for_end(kernel, limit, waiting)
    if status.is_active:
        state = status.name.lower()
        logger.info("%s is still %s: the same command goes on from here", kernel.name, state)
        return False
    if status.name != "COMPLETE":
        reason = f" ({status.reason.rstrip('.')})" if status.reason else ""
        raise kernel.failure(f"with the status {status.name.lower()}{reason}")
    _fetch_run(kernel, run, request)
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


def _push(kernel: Kernel, run: Run, request: Request) -> None:
    with suppress(KaggleError):
        logger.info("GPU hours left this week: %.1f of %.0f", *kernel.gpu_hours())
    kernel.push(kernel_script(run.name, request))
    logger.info("pushed: %s", kernel.page)
    logger.info("its log, from another terminal: kaggle kernels logs --follow %s", kernel.name)


def _wait_for_end(kernel: Kernel, limit: float, waiting: Callable[[float, float], None]) -> Status:
    """Return the status once the kernel has ended, or as it is at the limit."""
    waited, before = 0.0, ""
    while True:
        try:
            # A kernel just pushed may not be listed yet.
            status = kernel.status() or Status("QUEUED")
        except KaggleError as error:
            raise KaggleError(
                f"{kernel.name} goes on at Kaggle, its status is not known: {error}: repeat the"
                " command"
            ) from None
        if status.name != before:
            logger.info("%5.1f min  %s", waited / 60, status.name.lower())
        if not status.is_active or waited >= limit:
            return status
        waiting(waited, limit)
        kernel.policy.sleep(PAUSE)
        waited, before = waited + PAUSE, status.name


def _fetch_run(kernel: Kernel, run: Run, request: Request) -> None:
    run.run_dir.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".arriving-", dir=run.run_dir.parent) as folder:
        if not kernel.fetch(Path(folder)):
            raise kernel.failure(f"without {OUTPUT}")
        arrived = Run(Path(folder, run.name))
        unpack_run(Path(folder, OUTPUT), arrived, request)
        arrived.run_dir.rename(run.run_dir)
