"""What this package asks of Kaggle: the data, the quota, an upload, the listing."""

import errno
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from digit_recognizer.remote import patience as patience_module
from digit_recognizer.remote.credentials import Credentials, find_credentials, no_credentials
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.failures import (
    FAILURES,
    explain,
    explain_status,
    may_pass,
    not_accepted,
    retry_after_of,
    status_of,
)
from digit_recognizer.remote.listing import Submission, submission_of
from digit_recognizer.remote.official import bounded, new_client
from digit_recognizer.remote.patience import Patience
from digit_recognizer.storage.damage import is_bad_zip
from digit_recognizer.storage.datasets import COMPETITION
from digit_recognizer.storage.files import Progress, silent

PAGE_SIZE = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Quota:
    """How many submissions were made today and how many are left now."""

    today: int
    left: int
    limited_by_total: bool


class Kaggle:
    """A signed-in client; every method raises RemoteError with what to do."""

    def __init__(
        self,
        patience: Patience | None = None,
        progress: Progress = silent,
        competition: str = COMPETITION,
    ) -> None:
        credentials = find_credentials()
        if credentials is None:
            raise no_credentials()
        self.credentials: Credentials = credentials
        self.competition = competition
        self.patience = patience or patience_module.PATIENCE
        self._progress = progress
        self._client = new_client(self.patience, progress)
        self._ask(self._sign_in)

    def quota(self) -> Quota:
        """What is left of today's submissions."""
        limits = self._ask(lambda: self._client.competition_get_submission_limits(self.competition))
        return Quota(limits.num_today, limits.num_allowed_now, limits.limited_by_total)

    def submissions(self) -> list[Submission]:
        """The latest submissions, newest first."""

        def listing() -> list[dict[str, Any]]:
            self._client.answer = {}
            # A status that the client does not know is a KeyError; the raw answer has it.
            with suppress(KeyError):
                self._client.competition_submissions(self.competition, page_size=PAGE_SIZE)
            return list(self._client.answer.get("submissions") or [])

        entries = [submission_of(entry) for entry in self._ask(listing)]
        return sorted(entries, key=lambda entry: entry.ref, reverse=True)

    def check_access(self) -> None:
        """Whether the data may be downloaded, which takes accepted rules."""

        def ask() -> None:
            from kagglesdk.competitions.types import competition_api_service as types

            request = types.ApiDownloadDataFilesRequest()
            request.competition_name = self.competition
            with self._client.build_kaggle_client() as kaggle:
                kaggle.competitions.competition_api_client.download_data_files(request).close()

        self._ask(ask)

    def download(self, folder: Path, force: bool = False) -> Path:
        """Fetch the data into `folder`; go on with what an earlier call left there."""
        archive = folder / f"{self.competition}.zip"

        def fetch() -> None:
            try:
                self._client.competition_download_files(self.competition, str(folder), force)
            except ValueError:
                archive.unlink(missing_ok=True)  # a wrong length, or something else than the zip
                raise

        self._ask(fetch)
        if not archive.is_file():
            raise RemoteError(f"Kaggle served something else than {archive.name}: repeat later")
        return archive

    def upload(self, file: Path, message: str, is_listed: Callable[[], Submission | None]) -> int:
        """Submit a file once and return Kaggle's reference number.

        Parameters
        ----------
        is_listed : looks whether an upload whose answer was lost arrived all the same
        """
        for attempt in range(1, self.patience.attempts + 1):
            self._client.uploaded = False
            try:
                answer = self._once(
                    lambda: self._client.competition_submit(
                        str(file), message, self.competition, True
                    )
                )
            except FAILURES as error:
                pause = self.patience.pause(attempt, retry_after_of(error))
                if not may_pass(error) or pause is None:
                    raise self._explained(error, attempt) from None
                self.patience.sleep(pause)
                # Kaggle refused a 429 for certain; anything else may have got through.
                if self._client.uploaded and status_of(error) != 429:
                    arrived = is_listed()
                    if arrived:
                        return arrived.ref
                continue
            if answer.ref:
                return int(answer.ref)
            arrived = is_listed() if self._client.uploaded else None
            if arrived:
                return arrived.ref
            raise RemoteError(self._why_not_uploaded(file, str(answer.message)))
        raise AssertionError("the last attempt returns or raises")

    @property
    def may_have_arrived(self) -> bool:
        """Whether a failed `upload` got as far as the request that makes a submission."""
        return bool(self._client.uploaded)

    def _why_not_uploaded(self, file: Path, message: str) -> str:
        status = self._client.put_status
        start = f"{file}: was not uploaded"
        if self._client.uploaded:
            return f"{start}: Kaggle says {self._clean(message)!r}: repeat the command later"
        if status is None:
            return f"{start}: the connection broke off each time: repeat the command"
        if status == 429 or status >= 500:
            return f"{start}: " + explain_status(
                status,
                "",
                self.competition,
                self.credentials,
                self.patience.attempts,
                self._client.retry_after,
            )
        return f"{start}: Kaggle's store refuses it ({status}): repeat the command"

    def _sign_in(self) -> None:
        try:
            self._client.authenticate()
        except SystemExit:  # the client's way to say that nothing it found is any good
            raise RemoteError(
                not_accepted(self.credentials, "wrong, expired or revoked"), refused=True
            ) from None

    def _once(self, call: Callable[[], T]) -> T:
        with bounded(self.patience, self._progress):
            return call()

    def _ask(self, call: Callable[[], T]) -> T:
        """The answer to a question that may be asked again."""
        attempt = 1
        while True:
            try:
                return self._once(call)
            except FAILURES as error:
                pause = self.patience.pause(attempt, retry_after_of(error))
                if not may_pass(error) or pause is None:
                    raise self._explained(error, attempt) from None
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise  # the disk: who asked knows which folder
                pause = self.patience.pause(attempt, None)
                if pause is None:
                    raise self._explained(error, attempt) from None
            self.patience.sleep(pause)
            attempt += 1

    def _explained(self, error: Exception, attempts: int) -> RemoteError:
        line = explain(error, self.competition, self.credentials, attempts)
        return RemoteError(self._clean(str(line)), status=status_of(error))

    def _clean(self, text: str) -> str:
        """`text` without any credential that a server or library may have put into it."""
        values = self._client.config_values
        for name in ("key", "token", "api_token"):
            if values.get(name):
                text = text.replace(str(values[name]), "***")
        return text


def download(folder: Path, progress: Progress, patience: Patience | None = None) -> Path:
    """Fetch the competition's data and return the path of a zip that was read to its end.

    Parameters
    ----------
    folder : where the zip goes; a broken transfer found there is resumed

    Raises
    ------
    RemoteError
        With what to do; what was transferred stays in `folder`.
    """
    kaggle = Kaggle(patience, progress)
    folder.mkdir(parents=True, exist_ok=True)
    archive = kaggle.download(folder)
    if _is_sound(archive):
        return archive
    archive.unlink()
    archive = kaggle.download(folder, force=True)
    if not _is_sound(archive):
        archive.unlink()
        raise RemoteError(f"{archive.name}: came twice as a corrupt zip: repeat the command later")
    return archive


def _is_sound(archive: Path) -> bool:
    """Whether every entry unpacks to what its checksum says."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return bundle.testzip() is None
    except Exception as error:
        if is_bad_zip(error):
            return False
        raise
