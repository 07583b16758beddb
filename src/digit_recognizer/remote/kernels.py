"""Kaggle's kernels, through its own client: push one, ask how it goes, fetch what it made."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from digit_recognizer.remote.client import Kaggle
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.failures import FAILURES, may_pass, retry_after_of, status_of
from digit_recognizer.storage.files import write_json, write_text

CODE_FILE = "digit_recognizer.py"
# On Kaggle's P100, the other choice, its image's torch finds a GPU and fails at once.
MACHINE = "NvidiaTeslaT4"
GOING = ("QUEUED", "RUNNING", "UNKNOWN")  # UNKNOWN: a status that is new to Kaggle's client

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """QUEUED, RUNNING, COMPLETE, ERROR, CANCEL_REQUESTED, … and Kaggle's reason for a failure."""

    name: str
    reason: str

    @property
    def going(self) -> bool:
        """Whether it may still end well."""
        return self.name in GOING


class Kernels(Kaggle):
    """A signed-in client; every method raises RemoteError with what to do."""

    def without_secrets(self, text: str) -> str:
        """`text` without any credential that Kaggle's answer may hold."""
        return self._clean(text)

    def full_name(self, slug: str) -> str:
        """``<user>/<slug>``."""
        owner = str(self._client.config_values.get("username") or "")
        if not owner:
            raise RemoteError(
                f"{self.credentials.where}: does not say whose it is, and a kernel needs its"
                " owner: set KAGGLE_USERNAME beside it"
            )
        return f"{owner}/{slug}"

    def status(self, kernel: str) -> Status | None:
        """How the latest session of a kernel goes; None if there is no such kernel."""

        def ask() -> Status | None:
            try:
                answer = self._client.kernels_status(kernel)
            except KeyError:
                return Status("UNKNOWN", "")
            except ValueError as error:
                if _is_refusal(error):  # what is not there is refused, too
                    return None
                raise
            except requests.HTTPError as error:
                if status_of(error) == 404:
                    return None
                raise
            if answer.status.name == "NEW_SCRIPT":  # saved, and never run
                return None
            return Status(answer.status.name, " ".join((answer.failure_message or "").split()))

        return self._ask(ask)

    def push(self, kernel: str, script: str, folder: Path) -> str:
        """Save a new version of a private kernel, which starts it; return its page's address.

        Only "too many requests" is repeated: anything else may have started it.
        """
        write_text(folder / CODE_FILE, script)
        write_json(folder / "kernel-metadata.json", self._metadata(kernel))
        attempt = 1
        while True:
            try:
                answer = self._once(lambda: self._client.kernels_push(str(folder)))
                break
            except FAILURES as error:
                pause = self.patience.pause(attempt, retry_after_of(error))
                if status_of(error) != 429 or pause is None:
                    lost = may_pass(error) and status_of(error) != 429
                    start = "it is not known whether it was pushed" if lost else "was not pushed"
                    line = self._explained(error, attempt)
                    raise RemoteError(f"{kernel}: {start}: {line}") from None
            self.patience.sleep(pause)
            attempt += 1
        return self._pushed(kernel, answer)

    def _pushed(self, kernel: str, answer: Any) -> str:
        if answer.error:  # quota and the like: nothing was raised
            said = self._clean(" ".join(answer.error.split())).rstrip(".")
            raise RemoteError(
                f"{kernel}: Kaggle does not start it: {said}: see"
                " https://www.kaggle.com/settings for your GPU quota and phone verification"
            )
        if answer.invalid_competition_sources:
            raise RemoteError(
                f"{kernel}: Kaggle does not give it the data: accept the rules at"
                f" https://www.kaggle.com/competitions/{self.competition}/rules,"
                " then repeat with FORCE=1"
            )
        return str(answer.url or f"https://www.kaggle.com/code/{kernel}")

    def log_lines(self, kernel: str) -> list[str]:
        """What the kernel's latest session printed."""
        return log_lines(self._fetching(kernel, lambda: self._client.kernels_logs(kernel)))

    def fetch(self, kernel: str, name: str, folder: Path) -> Path | None:
        """Fetch the output file `name` into `folder`; None if the kernel made none."""
        # The pattern is what keeps a file called ../../x from being written.
        only = rf"\A{name.replace('.', '[.]')}\Z"
        path = folder / name

        def ask() -> None:
            self._client.kernels_output(kernel, str(folder), only, True, True)

        self._fetching(kernel, ask)
        return path if path.is_file() else None

    def _fetching(self, kernel: str, call: Callable[[], T]) -> T:
        def ask() -> T:
            try:
                return call()
            except ValueError as error:
                if _is_refusal(error):
                    raise RemoteError(f"{kernel}: Kaggle does not give its output") from None
                raise

        return self._ask(ask)

    def _metadata(self, kernel: str) -> dict[str, object]:
        return {
            "id": kernel,
            "title": kernel.partition("/")[2].replace("-", " "),
            "code_file": CODE_FILE,
            "language": "python",
            "kernel_type": "script",
            "is_private": True,
            "enable_gpu": True,
            "enable_tpu": False,
            "enable_internet": False,
            "machine_shape": MACHINE,
            "competition_sources": [self.competition],
            "dataset_sources": [],
            "kernel_sources": [],
            "model_sources": [],
        }


def _is_refusal(error: ValueError) -> bool:
    """Whether the client turned a 401 or 403 into its own words."""
    return str(error).startswith("Cannot access kernel")


def log_lines(text: str) -> list[str]:
    """The lines of a log: a JSON list of what was written when, or plain text."""
    with suppress(ValueError, TypeError, KeyError):
        text = "".join(str(part["data"]) for part in json.loads(text))
    lines = ("".join(c for c in line if c.isprintable()) for line in text.splitlines())
    return [line.rstrip() for line in lines if line.strip()]
