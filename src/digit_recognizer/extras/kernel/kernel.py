"""Push a kernel that trains a run, wait for its end, and fetch the run."""

import hashlib
import json
import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from digit_recognizer.commands.console import echo, spinner
from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.data.files import write_json, write_text
from digit_recognizer.errors import KaggleError, RunError
from digit_recognizer.extras.kernel import archive
from digit_recognizer.kaggle.client import Kaggle
from digit_recognizer.kaggle.credentials import COMPETITION_URL
from digit_recognizer.kaggle.retry import is_transient, status_of
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

PAUSE = 20.0  # seconds between two requests; a default run takes minutes
ACTIVE = ("QUEUED", "RUNNING", "UNKNOWN")  # of a session that has not ended
MAX_UNLISTED = 600.0  # seconds; a kernel just pushed may not be listed yet
SESSION_LIMIT = str(6 * 3600)  # seconds: else a session that hangs takes 12 of the week's 30 hours
N_LOG_LINES = 20
# What Kaggle prints after a script's own lines, while it turns the script into a page.
NOISE = re.compile(r"NbConvertApp|nbconvert|mistune|re\.sub\(")
CODE_FILE = "digit_recognizer.py"
METADATA = {
    "code_file": CODE_FILE,
    "language": "python",
    "kernel_type": "script",
    "is_private": True,
    "enable_gpu": True,
    "enable_internet": False,
    "machine_shape": "NvidiaTeslaT4",  # two of them
    "competition_sources": [COMPETITION],
}


class Kernel(Kaggle):
    """A kernel of the signed-in user; what Kaggle refuses is a KaggleError."""

    def __init__(self, slug: str) -> None:
        super().__init__()
        self.name = f"{self._client.config_values['username']}/{slug}"
        self.ref = self.name  # then with the number of the version that was pushed
        self.page = f"https://www.kaggle.com/code/{self.name}"
        self.reason = ""  # why Kaggle ended it, where Kaggle says so
        self.log: list[str] = []  # the parts of it that were read

    def status(self) -> str | None:
        """Return the status of the version that was pushed, else of the latest.

        None: the kernel is not there, or never ran.
        """

        def ask() -> str | None:
            try:
                answer = self._client.kernels_status(self.ref)
                self.reason, status = answer.failure_message or "", answer.status.name
            except KeyError:
                return "UNKNOWN"  # new to Kaggle's client
            except (ValueError, requests.HTTPError) as error:
                if status_of(error) in (403, 404):  # Kaggle says both where there is no kernel
                    return None
                raise
            return None if status == "NEW_SCRIPT" else str(status)  # saved, and never run

        return self._request(ask)

    def push(self, script: str) -> None:
        """Save a new version of the private kernel, which starts it.

        Only "too many requests" is retried: after any other error the kernel may be running.
        """
        title = self.name.partition("/")[2].replace("-", " ")
        with TemporaryDirectory() as folder:
            write_text(Path(folder, CODE_FILE), script)
            metadata = {"id": self.name, "title": title, **METADATA}
            write_json(Path(folder, "kernel-metadata.json"), metadata)
            answer = self._request(
                lambda: self._client.kernels_push(folder, SESSION_LIMIT),
                is_retried=lambda error: status_of(error) == 429,
            )
        if answer.error:  # quota and the like: nothing was raised
            reason = self.hide_secrets(" ".join(answer.error.split())).rstrip(".")
            advice = "see https://www.kaggle.com/settings for your GPU quota and phone verification"
            if "session count" in reason:
                advice = "wait, or stop a session at https://www.kaggle.com/code"
            raise KaggleError(f"{self.name}: Kaggle does not start it: {reason}: {advice}")
        if answer.invalid_competition_sources:
            advice = f"accept the rules at {COMPETITION_URL}/rules, then repeat with FORCE=1"
            raise KaggleError(f"{self.name}: Kaggle does not give it the data: {advice}")
        if answer.version_number:
            self.ref = f"{self.name}/{answer.version_number}"

    def fetch(self, folder: Path) -> bool:
        """Fetch ``run.zip`` into `folder`; return whether the kernel made it."""
        # The pattern is what keeps a file called ../../x from being written.
        only = rf"\A{re.escape(archive.OUTPUT)}\Z"
        self._ask(lambda: self._client.kernels_output(self.ref, str(folder), only, True, True))
        return (folder / archive.OUTPUT).is_file()

    def read_log(self, seconds: float = math.inf) -> None:
        """Read the rest of the log, without retries.

        While the kernel runs, read for about `seconds`, or until the read timeout if it is silent.
        """
        end = time.monotonic() + seconds

        def read() -> None:
            # The stream starts anew with each request.
            for index, event in enumerate(self._client.kernels_logs_stream(self.ref)):
                if index >= len(self.log):
                    self.log.append(str(event.get("data") or ""))
                    if time.monotonic() > end:
                        break

        self._ask(read, is_retried=lambda error: False)

    def _ask(
        self, call: Callable[[], object], is_retried: Callable[[BaseException], bool] = is_transient
    ) -> None:
        """Ask about the kernel: a refusal is not one of the competition's data."""

        def ask() -> None:
            try:
                call()
            except ValueError as error:
                if status_of(error) != 403:
                    raise
                fault = f"{self.page}: Kaggle refuses access to it (403)"
                raise KaggleError(f"{fault}: open it there, then repeat the command") from None

        self._request(ask, is_retried)

    def log_lines(self, start: int = 0) -> list[str]:
        """Return the lines of what was read, from part `start` on."""
        lines = self.hide_secrets("\n".join(self.log[start:])).splitlines()
        return [f"  {line.rstrip()[:300]}" for line in lines if line.strip()]

    def failure(self, end: str) -> KaggleError:
        """Return the error for a session without a run, with the end of its log if readable."""
        try:
            self.read_log()
            own = [line for line in self.log_lines() if not NOISE.search(line)]
            log = "\n".join(["the end of its log:", *own[-N_LOG_LINES:]])
        except KaggleError as error:
            log = f"its log cannot be read: {error}"
        reason = self.hide_secrets(" ".join(self.reason.split()))
        fault = f"ended {end}" + (f" ({reason})" if reason else "")
        line = f"{self.name}: {fault}: see {self.page}, then repeat with FORCE=1"
        return KaggleError(line, log)


def train_on_kaggle(run: Run, request: Request, force: bool, limit: float) -> bool:
    """Train a run on Kaggle, or continue with the kernel that an earlier call pushed.

    Return whether the run is here: False if it is not finished after `limit` seconds. With
    `force`, push again even if the kernel has ended, successfully or not.
    """
    if run.run_dir.exists():
        if run.request() != request or not run.is_finished():
            fault = "is there already, with other settings or unfinished"
            raise RunError(f"{run.run_dir}: {fault}: give another RUN, or delete it")
        echo(f"{run.run_dir}: is there already")
        return True
    kernel = Kernel(slug(run.name, request))
    status = kernel.status()
    if status is None or (force and status not in ACTIVE):
        with suppress(KaggleError):
            left, total = kernel.gpu_hours()
            echo(f"GPU hours left this week: {left:.1f} of {total:.0f}")
        kernel.push(archive.kernel_script(run.name, request))
        echo(f"pushed: {kernel.page}")
    else:
        echo(f"found: {kernel.page} ({status.lower()})")
    status = _wait_for_end(kernel, limit)
    if status in ACTIVE:
        echo(f"{kernel.name} is still {status.lower()}: the same command goes on from here,")
        echo(f"and {kernel.page} can stop it")
        return False
    if status != "COMPLETE":
        raise kernel.failure(f"with the status {status.lower()}")
    _fetch_run(kernel, run, request)
    machine = run.environment()
    echo(f"brought back: {run.run_dir} (trained on {machine.device}, {machine.hardware})")
    return True


def slug(run_name: str, request: Request) -> str:
    """Return a kernel's name, unique to the run and its request.

    Kaggle makes the slug from the title, which has at most 50 characters.
    """
    text = json.dumps([run_name, request.as_dict()], sort_keys=True)
    plain = re.sub("[^a-z0-9]+", "-", run_name.lower()).strip("-")[:38].strip("-")
    return f"{plain or 'run'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _wait_for_end(kernel: Kernel, limit: float) -> str:
    """Return the status once the kernel has ended, or as it is at the limit."""
    waited, listed, before = 0.0, 0.0, ""
    with spinner("waiting for Kaggle") as show:
        while True:
            answer = kernel.status()
            listed = waited if answer else listed
            if waited - listed >= MAX_UNLISTED:
                fault = "Kaggle does not show it: look there before you push it again"
                raise KaggleError(f"{kernel.page}: {fault}")
            status = answer or "QUEUED"
            if status != before:
                echo(f"{waited / 60:5.1f} min  {status.lower()}")
            start, n_shown = time.monotonic(), len(kernel.log)
            if status in ("RUNNING", "COMPLETE"):
                with suppress(KaggleError):  # nothing depends on its log
                    kernel.read_log(PAUSE)
                for line in kernel.log_lines(n_shown):
                    echo(line)
            waited += time.monotonic() - start
            if status not in ACTIVE or waited >= limit:
                return status
            show(f"waiting for Kaggle: {waited:.0f} of at most {limit:.0f} s")
            kernel.policy.sleep(PAUSE)
            waited, before = waited + PAUSE, status


def _fetch_run(kernel: Kernel, run: Run, request: Request) -> None:
    run.run_dir.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".arriving-", dir=run.run_dir.parent) as folder:
        if not kernel.fetch(Path(folder)):
            raise kernel.failure(f"without {archive.OUTPUT}")
        arrived = Run(Path(folder, run.name))
        archive.unpack_run(Path(folder, archive.OUTPUT), arrived, request)
        arrived.run_dir.rename(run.run_dir)
