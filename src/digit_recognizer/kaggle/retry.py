"""Retry transient failures; explain permanent ones in one line."""

import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from digit_recognizer.data.dataset import COMPETITION
from digit_recognizer.kaggle.credentials import COMPETITION_URL, Credentials

# ValueError: an answer that is not JSON, a file of the wrong length
CALL_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, ValueError)


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an exception, if there is one."""
    response = getattr(error, "response", None)
    if response is None and isinstance(error, ValueError):  # of Kaggle's client, for some refusals
        response = getattr(error.__context__, "response", None)
    return getattr(response, "status_code", None)


def retry_after_of(error: BaseException | None) -> float | None:
    """Return the seconds that the server's Retry-After header asks for, if there is one."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After")
    try:
        return urllib3.Retry().parse_retry_after(header) if header else None
    except urllib3.exceptions.InvalidHeader:
        return None


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may succeed later."""
    status = status_of(error)
    if status is not None:
        return status == 429 or status >= 500
    return isinstance(error, CALL_ERRORS) and not isinstance(error, requests.exceptions.SSLError)


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a request; times are in seconds.

    Kaggle's client has no time limit and never retries a 429.
    """

    connect_timeout: float = 10
    read_timeout: float = 60
    attempts: int = 6
    max_wait: float = 120  # a longer Retry-After is reported, not waited for
    poll_interval: int = 5
    poll_timeout: int = 600  # Kaggle usually takes 5 to 60 s
    sleep: Callable[[float], None] = time.sleep

    def retrying(self, is_retried: Callable[[BaseException], bool] = is_transient) -> Retrying:
        """Return a caller that retries a function and raises its last exception."""
        return Retrying(
            retry=retry_if_exception(is_retried),
            wait=self._wait,
            stop=self._should_stop,
            sleep=self.sleep,
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        requested = retry_after_of(state.outcome.exception() if state.outcome else None)
        return wait_exponential()(state) if requested is None else requested  # 1 s, 2 s, 4 s, …

    def _should_stop(self, state: RetryCallState) -> bool:
        too_long = state.upcoming_sleep > self.max_wait
        return too_long or state.attempt_number >= self.attempts


RETRY_POLICY = RetryPolicy()


def explain(error: Exception, credentials: Credentials, hide_secrets: Callable[[str], str]) -> str:
    """Return one line about an exception that remained after the last attempt."""
    status = status_of(error)
    if status is None:
        return _explain_connection(error)
    if status == 401:
        return credentials.rejection_message
    if is_transient(error):
        seconds = retry_after_of(error)
        wait = "later" if seconds is None else f"in {seconds:.0f} s"
        return f"Kaggle cannot answer now ({status}): repeat the command {wait}"
    answer = ": ".join(filter(None, [str(status), _server_message(error, hide_secrets)]))
    if status == 403:
        return (
            f"Kaggle refuses access to {COMPETITION!r} ({answer}): accept the rules at {COMPETITION_URL}/rules"
            f" with the account of {credentials.location}; where that page has no button for it,"
            f" press 'Join Competition' at {COMPETITION_URL}, or first verify the account's phone number at"
            " https://www.kaggle.com/settings"
        )
    return f"Kaggle refuses ({answer})"


def _server_message(error: Exception, hide_secrets: Callable[[str], str]) -> str:
    """Return the message in the body of an HTTP error, on one line."""
    try:
        message = error.response.json().get("message", "")  # type: ignore[attr-defined]
    except (ValueError, AttributeError, RuntimeError):
        return ""
    # Hidden before it is cut, which would leave the beginning of a secret.
    return hide_secrets(" ".join(str(message).split())).strip(".")[:300]


def _explain_connection(error: Exception) -> str:
    url = getattr(getattr(error, "request", None), "url", None) or ""
    host = urllib.parse.urlsplit(url).netloc or "api.kaggle.com"
    if isinstance(error, json.JSONDecodeError):
        return f"{host}: the answer is not from Kaggle's API: check the network"
    advice = "check network, proxy and clock, then repeat the command"
    return f"{host}: the connection failed ({type(error).__name__}): {advice}"
