"""Requests about kernels, through Kaggle's own client: push, status, log, output."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.data.files import write_json, write_text
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.client import Kaggle
from digit_recognizer.kaggle.credentials import PAGE
from digit_recognizer.kaggle.retry import status_of

CODE_FILE = "digit_recognizer.py"
# On Kaggle's P100, the other choice, its image's torch finds a GPU and fails at once.
MACHINE = "NvidiaTeslaT4"
ACTIVE = ("QUEUED", "RUNNING", "UNKNOWN")  # UNKNOWN: a status that is new to Kaggle's client

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """A session's status (QUEUED, RUNNING, COMPLETE, ERROR, …) and the reason for a failure."""

    name: str
    reason: str

    @property
    def is_active(self) -> bool:
        """True until the session has ended."""
        return self.name in ACTIVE


class Kernels(Kaggle):
    """A signed-in client for kernels; what Kaggle refuses is a KaggleError."""

    def full_name(self, slug: str) -> str:
        """Return ``<user>/<slug>``."""
        owner = str(self._client.config_values.get("username") or "")
        if not owner:
            raise KaggleError(
                f"{self.credentials.location}: does not say whose it is, and a kernel needs its"
                " owner: set KAGGLE_USERNAME beside it"
            )
        return f"{owner}/{slug}"

    def status(self, kernel: str) -> Status | None:
        """Return the status of a kernel's latest session; None if there is no such kernel."""

        def ask() -> Status | None:
            try:
                answer = self._client.kernels_status(kernel)
            except KeyError:
                return Status("UNKNOWN", "")
            except (ValueError, requests.HTTPError) as error:
                if _is_refusal(error) or status_of(error) == 404:  # both: not there
                    return None
                raise
            if answer.status.name == "NEW_SCRIPT":  # saved, and never run
                return None
            return Status(answer.status.name, " ".join((answer.failure_message or "").split()))

        return self._request(ask)

    def push(self, kernel: str, script: str, folder: Path) -> str:
        """Save a new version of a private kernel, which starts it; return its page's address.

        Only "too many requests" is repeated: anything else may have started it.
        """
        write_text(folder / CODE_FILE, script)
        write_json(folder / "kernel-metadata.json", self._metadata(kernel))
        try:
            answer = self._request(
                lambda: self._client.kernels_push(str(folder)),
                is_retried=lambda error: status_of(error) == 429,
            )
        except KaggleError as error:
            lost = error.status is None or error.status >= 500
            start = "it is not known whether it was pushed" if lost else "was not pushed"
            raise KaggleError(f"{kernel}: {start}: {error}") from None
        return self._pushed(kernel, answer)

    def _pushed(self, kernel: str, answer: Any) -> str:
        if answer.error:  # quota and the like: nothing was raised
            reason = self.hide_secrets(" ".join(answer.error.split())).rstrip(".")
            raise KaggleError(
                f"{kernel}: Kaggle does not start it: {reason}: see"
                " https://www.kaggle.com/settings for your GPU quota and phone verification"
            )
        if answer.invalid_competition_sources:
            raise KaggleError(
                f"{kernel}: Kaggle does not give it the data: accept the rules at"
                f" {PAGE}/rules, then repeat with FORCE=1"
            )
        return str(answer.url or f"https://www.kaggle.com/code/{kernel}")

    def log_lines(self, kernel: str) -> list[str]:
        """Return what the kernel's latest session printed."""
        return log_lines(self._fetching(kernel, lambda: self._client.kernels_logs(kernel)))

    def fetch(self, kernel: str, name: str, folder: Path) -> Path | None:
        """Fetch the output file `name` into `folder`; None if the kernel made none."""
        # The pattern is what keeps a file called ../../x from being written.
        only = rf"\A{re.escape(name)}\Z"
        arguments = (kernel, str(folder), only, True, True)
        self._fetching(kernel, lambda: self._client.kernels_output(*arguments))
        path = folder / name
        return path if path.is_file() else None

    def _fetching(self, kernel: str, call: Callable[[], T]) -> T:
        def ask() -> T:
            try:
                return call()
            except ValueError as error:
                if _is_refusal(error):
                    raise KaggleError(f"{kernel}: Kaggle does not give its output") from None
                raise

        return self._request(ask)

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
            "competition_sources": [COMPETITION],
            "dataset_sources": [],
            "kernel_sources": [],
            "model_sources": [],
        }


def _is_refusal(error: Exception) -> bool:
    """Return whether the client turned a 401 or 403 into a message of its own."""
    return str(error).startswith("Cannot access kernel")


def log_lines(text: str) -> list[str]:
    """Return the lines of a log: a JSON list of what was written when, or plain text."""
    with suppress(ValueError, TypeError, KeyError):
        text = "".join(str(part["data"]) for part in json.loads(text))
    lines = ("".join(c for c in line if c.isprintable()) for line in text.splitlines())
    return [line.rstrip() for line in lines if line.strip()]
