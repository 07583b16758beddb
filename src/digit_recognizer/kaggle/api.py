"""Kaggle's own client, imported in one place and with limits.

Importing it makes a folder, asks the network about tokens and prints help to stdout; its calls
have no time limit, its log shows keys, its ``exit()`` closes stdin. None of that gets through here.
"""

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.data.files import TransferProgress
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.credentials import kaggle_json
from digit_recognizer.kaggle.retry import RetryPolicy, is_transient

_MODULE = "kaggle.api.kaggle_api_extended"
# VERBOSE and VERBOSE_OUTPUT make the client log its requests, keys and all.
_HIDDEN_VARIABLES = ("KAGGLE_", "VERBOSE")
_HOME_VARIABLES = ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "KAGGLE_CONFIG_DIR")


def new_client(policy: RetryPolicy, progress: TransferProgress) -> Any:
    """Return a client that is not signed in; call its methods within `bounded`."""
    with bounded(policy, progress):
        return type("Client", (_Overrides, _import_client().KaggleApi), {})()


class _Overrides:
    """Methods that raise what Kaggle's client would retry or only print."""

    def __init__(self) -> None:
        super().__init__()
        self.config = str(kaggle_json())  # the class has the one from its import
        self.uploaded = False
        self.listing: list[dict[str, Any]] = []  # the last list of submissions, as it came

    def read_config_environment(self, config_data: dict[str, str] | None = None) -> dict[str, str]:
        found = super().read_config_environment({})  # type: ignore[misc]
        # The client would let an empty variable hide what a file says.
        return {**(config_data or {}), **{name: value for name, value in found.items() if value}}

    def get_response_processor(self) -> Any:
        return self._keep_listing

    def _keep_listing(self, response: Any) -> None:
        # The client cannot read a list that holds a status new to it.
        if response.url.endswith("/ListSubmissions"):
            self.listing = response.json().get("submissions") or []

    def download_file(self, response: Any, outfile: str, *rest: Any, **named: Any) -> None:
        named["max_retries"] = 0  # its own retries ignore our limits; the next call resumes
        with response:  # where the disk is full, the client leaves it open
            super().download_file(response, outfile, *rest, **named)  # type: ignore[misc]

    def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> Any:
        with open(path, "rb") as file:
            response = requests.put(url, data=file)
        self.uploaded = response.ok
        if response.ok:
            return _import_client().ResumableUploadResult.COMPLETE
        error = requests.HTTPError(response=response)
        if is_transient(error):
            raise error
        status = response.status_code
        raise KaggleError(f"{path}: Kaggle's storage refused it ({status}): repeat the command")


@contextmanager
def bounded(policy: RetryPolicy, progress: TransferProgress) -> Iterator[None]:
    """Limit the time of every connection; keep the client from printing and retrying."""
    plain_send = HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, **settings: Any) -> Any:
        self.max_retries = Retry(0, read=False)  # uploads would be retried unseen for six minutes
        settings["timeout"] = (policy.connect_timeout, policy.read_timeout)
        response = plain_send(self, request, **settings)
        if response.is_redirect and request.method == "POST":
            _check_redirect(request.url, response)
        return response

    @contextmanager
    def bar(total: int | None = None, initial: int = 0, **_: Any) -> Iterator[SimpleNamespace]:
        done = initial

        def update(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes
            progress(COMPETITION, done, total or 0)

        yield SimpleNamespace(update=update)

    with (
        patch.object(sys, "stdin", io.StringIO()),  # the client's ``exit()`` would close it
        redirect_stdout(io.StringIO()),
        patch.object(HTTPAdapter, "send", send),
        patch.object(_import_client(), "tqdm", bar),
    ):
        yield


def _check_redirect(url: str, response: requests.Response) -> None:
    """Refuse an API call's redirect to another host, which would get its body, tokens and all.

    Only a download is normally redirected: to a store, as a GET without body or credentials.
    """
    target = urljoin(url, response.headers["Location"])
    is_download = url.endswith("/DownloadDataFiles") and response.status_code not in (307, 308)
    session: Any = requests.Session()
    if not is_download and session.should_strip_auth(url, target):
        response.close()
        here, there = urlsplit(url).hostname, urlsplit(target).hostname
        raise KaggleError(f"{here}: redirects to {there}, which is refused: check network or proxy")


def _import_client() -> Any:
    """Import the client's module, within `bounded`, where it finds no credentials and no home."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    with TemporaryDirectory() as empty, patch.dict(os.environ):
        for name in list(os.environ):
            # KAGGLE_API_ENVIRONMENT names the server to talk to, and is read at the import.
            if name.startswith(_HIDDEN_VARIABLES) and name != "KAGGLE_API_ENVIRONMENT":
                del os.environ[name]
        os.environ.update(dict.fromkeys(_HOME_VARIABLES, empty))
        return importlib.import_module(_MODULE)
