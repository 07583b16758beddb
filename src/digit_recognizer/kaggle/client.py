"""The requests of this package to Kaggle: data, quota, upload, list of submissions."""

import errno
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.data.files import TransferProgress
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle import retry
from digit_recognizer.kaggle.api import bounded, new_client
from digit_recognizer.kaggle.credentials import NO_TOKEN_HELP, find_credentials
from digit_recognizer.kaggle.ledger import Submission
from digit_recognizer.kaggle.retry import CALL_ERRORS, explain, is_transient, status_of

AUTHORIZATION = re.compile(r"(authorization\W{1,5}\w+ +)[\w+/=.~-]+", re.IGNORECASE)

T = TypeVar("T")


class Kaggle:
    """A signed-in client; what Kaggle refuses is a KaggleError."""

    def __init__(self, progress: TransferProgress = lambda *_: None) -> None:
        credentials = find_credentials()
        if credentials is None:
            raise KaggleError("no Kaggle credentials found", NO_TOKEN_HELP)
        self.credentials = credentials
        self.policy = retry.RETRY_POLICY
        self.may_have_arrived = False  # whether a failed `upload` may have made a submission
        self._progress = progress
        self._client = new_client(self.policy, progress)
        self._request(self._sign_in)

    def quota(self) -> int:
        """Return how many submissions are left today."""
        limits = self._request(lambda: self._client.competition_get_submission_limits(COMPETITION))
        return int(limits.num_allowed_now)

    def submissions(self) -> list[Submission]:
        """Return the latest submissions, newest first."""

        def fetch() -> list[Submission]:
            self._client.listing = []
            with suppress(KeyError):  # a status that the client does not know
                self._client.competition_submissions(COMPETITION, page_size=100)
            return [self._submission(entry) for entry in self._client.listing]

        return sorted(self._request(fetch), key=lambda item: item.ref, reverse=True)

    def _submission(self, entry: dict[str, Any]) -> Submission:
        """Read an entry; what it lacks has the default of Kaggle's format."""
        texts = {name: self.hide_secrets(str(value or "")) for name, value in entry.items()}
        score = math.nan
        with suppress(ValueError):
            score = float(texts.get("publicScore", ""))
        return Submission(
            ref=int(entry.get("ref") or 0),
            description=texts.get("description", ""),
            file_name=texts.get("fileName", ""),
            status=(texts.get("status") or "PENDING").upper().removeprefix("SUBMISSION_STATUS_"),
            public_score=score if math.isfinite(score) else None,
            reason=" ".join(texts.get("errorDescription", "").split()),
        )

    def leaderboard(self) -> list[float]:
        """Return the public score of every team."""

        def fetch() -> list[float]:
            import pandas as pd

            with TemporaryDirectory() as folder:
                self._client.competition_leaderboard_download(COMPETITION, folder)
                try:
                    table = pd.read_csv(Path(folder, f"{COMPETITION}.zip"))
                    return [float(score) for score in table["Score"]]
                except Exception as error:
                    raise ValueError("not a leaderboard") from error

        return self._request(fetch, is_retried=lambda error: False)

    def gpu_hours(self) -> tuple[float, float]:
        """Return the hours of GPU that are left this week, and those of a whole week."""
        gpu = self._request(self._client.quota_view, is_retried=lambda error: False).gpu_quota
        if gpu is None or gpu.total_time_allowed is None:
            raise KaggleError("Kaggle does not say how many hours of GPU are left")
        taken = [time.total_seconds() for time in (gpu.time_used, gpu.time_reserved) if time]
        total = gpu.total_time_allowed.total_seconds()
        return max(0.0, total - sum(taken)) / 3600, total / 3600

    def check_access(self) -> None:
        """Check that the data may be downloaded, for which the rules must be accepted."""

        def open_and_close() -> None:
            from kagglesdk.competitions.types import competition_api_service as types

            request = types.ApiDownloadDataFilesRequest()
            request.competition_name = COMPETITION
            with self._client.build_kaggle_client() as kaggle:
                kaggle.competitions.competition_api_client.download_data_files(request).close()

        self._request(open_and_close)

    def download(self, folder: Path) -> Path:
        """Fetch the competition's data and return the path of the zip in `folder`.

        A broken transfer found there is resumed; a failure leaves what was transferred.
        """
        archive = folder / f"{COMPETITION}.zip"

        def fetch() -> None:
            try:
                self._client.competition_download_files(COMPETITION, str(folder))
            except ValueError:
                archive.unlink(missing_ok=True)  # of a wrong length
                raise

        self._request(fetch)
        if not archive.is_file():
            raise KaggleError(f"Kaggle served something other than {archive.name}: repeat later")
        return archive

    def upload(self, file: Path, message: str, find: Callable[[], Submission | None]) -> int:
        """Submit a file once and return Kaggle's reference number.

        `find` returns the submission if an upload whose answer was lost arrived after all.
        """

        def find_or_submit() -> int:
            if self.may_have_arrived and (arrived := find()):
                return arrived.ref
            self._client.uploaded = False
            try:
                answer = self._client.competition_submit(str(file), message, COMPETITION, True)
            except Exception as error:  # a 429 made no submission, anything else may have
                self.may_have_arrived |= self._client.uploaded and status_of(error) != 429
                raise
            if answer.ref:
                return int(answer.ref)
            self.may_have_arrived = True
            if arrived := find():
                return arrived.ref
            fault = f"was not uploaded: Kaggle says {self.hide_secrets(str(answer.message))!r}"
            raise KaggleError(f"{file}: {fault}: repeat the command later")

        return self._request(find_or_submit)

    def _sign_in(self) -> None:
        try:
            self._client.authenticate()
        except SystemExit:  # the client exits where no credentials are good
            raise KaggleError(self.credentials.rejection_message) from None
        except OSError as error:
            if status_of(error) and not is_transient(error):
                raise KaggleError(self.credentials.rejection_message) from None
            # The client looks for a file of the token's name, which the error holds.
            if error.errno != errno.ENAMETOOLONG:
                raise
            fault = f"{self.credentials.location}: this access token is too long for a variable"
            raise KaggleError(f"{fault}: put it in ~/.kaggle/access_token instead") from None

    def _request(
        self, call: Callable[[], T], is_retried: Callable[[BaseException], bool] = is_transient
    ) -> T:
        """Return the result of a call that may be retried, within time limits."""

        def once() -> T:
            with bounded(self.policy, self._progress):
                try:
                    return call()
                except (LookupError, TypeError, AttributeError) as error:  # a malformed response
                    raise json.JSONDecodeError(repr(error), "", 0) from error

        try:
            return self.policy.retrying(is_retried)(once)
        except CALL_ERRORS as error:
            raise KaggleError(explain(error, self.credentials, self.hide_secrets)) from None

    def hide_secrets(self, text: str) -> str:
        """Replace credentials, plain or in Base64, that a server or proxy put into `text`.

        Before the sign-in, when the token is not known yet, return an empty string.
        """
        values = self._client.config_values
        if "auth_method" not in values:
            return ""
        secrets = [str(values.get(name) or "") for name in ("key", "token", "api_token")]
        for secret in filter(None, secrets):
            basic = f"{values.get('username')}:{secret}"
            coded = (b64encode(item.encode()).decode().rstrip("=") for item in (basic, secret))
            for form in (*coded, secret):
                text = text.replace(form, "***")
        return AUTHORIZATION.sub(r"\1***", text)
