"""Kaggle's own client, imported in one place and kept within bounds.

Importing it makes a folder, asks the network about tokens and prints help to stdout; its calls
have no time limit, its log shows keys. None of that gets through here.
"""

import contextlib
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from digit_recognizer.remote.credentials import kaggle_json
from digit_recognizer.remote.patience import Patience
from digit_recognizer.storage.datasets import COMPETITION
from digit_recognizer.storage.files import Progress

_MODULE = "kaggle.api.kaggle_api_extended"
# VERBOSE makes the client log its requests, keys and all.
_SWITCHES = ("VERBOSE", "VERBOSE_OUTPUT")
_HOMES = ("HOME", "USERPROFILE", "XDG_CONFIG_HOME")


def new_client(patience: Patience, progress: Progress) -> Any:
    """A client that is not signed in yet; call its methods within `bounded`."""
    module = _imported()

    class Client(module.KaggleApi):  # type: ignore[misc, name-defined]
        """Kaggle's client, with repeats where it has none and what it hides written down."""

        def __init__(self) -> None:
            super().__init__()
            self.config = str(kaggle_json())  # the class has the one from its import
            self.put_status: int | None = None  # of the last upload; None: it broke off
            self.retry_after: str | None = None
            self.uploaded = False
            self.answer: dict[str, Any] = {}  # the last listing, as it came

        def download_file(self, response: Any, outfile: str, *rest: Any, **named: Any) -> None:
            # One attempt: its own repeats do not know our limits. The next call resumes.
            once = {**named, "max_retries": 0, "timeout": patience.read}
            with response:  # where the disk is full, the client leaves it open
                super().download_file(response, outfile, *rest, **once)

        def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> Any:
            self.uploaded = False
            done = module.ResumableUploadResult.COMPLETE
            attempt = 1
            while True:
                self.put_status = self.retry_after = None
                result = super().upload_complete(path, url, True, False)
                if result == done:
                    self.uploaded = True
                    return result
                broken = self.put_status is None or self.put_status == 429
                if not broken and (self.put_status or 0) < 500:
                    return result
                pause = patience.pause(attempt, self.retry_after)
                if pause is None:
                    return result
                patience.sleep(pause)
                attempt += 1

        def _is_upload_successful(self, response: Any) -> bool:
            self.put_status = response.status_code
            self.retry_after = response.headers.get("Retry-After")
            return bool(super()._is_upload_successful(response))

        def get_response_processor(self) -> Callable[[Any], None]:
            return self._keep_listing

        def _keep_listing(self, response: Any) -> None:
            # The client cannot read a listing that holds a status new to it; we can.
            if response.url.endswith("/ListSubmissions"):
                self.answer = response.json()

    with bounded(patience, progress):
        return Client()


@contextlib.contextmanager
def bounded(patience: Patience, progress: Progress) -> Iterator[None]:
    """Time limits on every connection, no hidden repeats, no print, progress to `progress`."""
    module = _imported()
    plain_send, plain_bar = HTTPAdapter.send, module.tqdm

    def send(self: HTTPAdapter, request: Any, **settings: Any) -> Any:
        self.max_retries = Retry(0, read=False)  # uploads would repeat for six minutes unseen
        settings["timeout"] = (patience.connect, patience.read)
        return plain_send(self, request, **settings)

    def bar(total: int | None = None, initial: int = 0, **_: Any) -> _Bar:
        return _Bar(progress, total or 0, initial)

    HTTPAdapter.send = send  # type: ignore[method-assign, assignment]
    module.tqdm = bar
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        HTTPAdapter.send = plain_send  # type: ignore[method-assign]
        module.tqdm = plain_bar


class _Bar:
    """Takes the place of the client's progress bar."""

    def __init__(self, progress: Progress, total: int, done: int) -> None:
        self._progress, self._total, self._done = progress, total, done

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n_bytes: int) -> None:
        self._done += n_bytes
        self._progress(COMPETITION, self._done, self._total)


def _imported() -> Any:
    """The client's module, imported where it finds neither credentials nor a home."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    with tempfile.TemporaryDirectory() as empty:
        hidden = {name: value for name, value in os.environ.items() if _is_hidden(name)}
        try:
            for name in hidden:
                del os.environ[name]
            for name in _HOMES:
                os.environ[name] = empty
            os.environ["KAGGLE_CONFIG_DIR"] = empty
            with contextlib.redirect_stdout(io.StringIO()):
                return importlib.import_module(_MODULE)
        finally:
            for name in (*_HOMES, "KAGGLE_CONFIG_DIR"):
                os.environ.pop(name, None)
            os.environ.update(hidden)


def _is_hidden(name: str) -> bool:
    # KAGGLE_API_ENVIRONMENT says which server to talk to, and is read at the import.
    mine = name.startswith("KAGGLE_") or name in (*_SWITCHES, *_HOMES)
    return mine and name != "KAGGLE_API_ENVIRONMENT"
