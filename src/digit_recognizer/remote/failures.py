"""Exceptions of Kaggle's client, and of what it stands on, as one line that says what to do."""

import json
import urllib.parse

import requests
from urllib3.exceptions import NameResolutionError, ProtocolError, ReadTimeoutError

from digit_recognizer.remote.credentials import TOKEN_URL, Credentials
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.patience import seconds_of

# What may go well when it is asked again; HTTPError only with a status that says so.
PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    ProtocolError,
    ReadTimeoutError,
    ValueError,  # an answer that is not JSON, a file of the wrong length
)
FAILURES = (requests.RequestException, *PASSING)


def status_of(error: Exception) -> int | None:
    """The HTTP status behind an exception, where there is one."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def retry_after_of(error: Exception) -> str | None:
    """The server's Retry-After header, where there is one."""
    response = getattr(error, "response", None)
    return None if response is None else response.headers.get("Retry-After")


def may_pass(error: Exception) -> bool:
    """Whether asking again is worth it."""
    status = status_of(error)
    if isinstance(error, requests.HTTPError) and status is not None:
        return status == 429 or status >= 500
    return isinstance(error, PASSING) and not isinstance(error, requests.exceptions.SSLError)


def explain(
    error: Exception, competition: str, credentials: Credentials, attempts: int
) -> RemoteError:
    """The line for an exception that stood after `attempts` attempts."""
    status = status_of(error)
    if isinstance(error, requests.HTTPError) and status is not None:
        return RemoteError(
            explain_status(
                status,
                _server_words(error),
                competition,
                credentials,
                attempts,
                retry_after_of(error),
            )
        )
    return RemoteError(_explain_connection(error, attempts))


def explain_status(
    status: int,
    words: str,
    competition: str,
    credentials: Credentials,
    attempts: int,
    retry_after: str | None = None,
) -> str:
    """The line for an HTTP status, with the server's own `words`."""
    said = f"{status}: {words}" if words else str(status)
    page = f"https://www.kaggle.com/competitions/{competition}"
    if status == 401:
        return not_accepted(credentials, "401")
    if status == 403:
        return (
            f"Kaggle refuses access to {competition!r} ({said}): accept the rules at {page}/rules"
            f" with the account of {credentials.where}; if they are accepted, the competition's"
            " name is wrong"
        )
    if status == 404:
        return f"Kaggle knows nothing called {competition!r} ({said}): see whether {page} opens"
    if status == 429:
        seconds = seconds_of(retry_after)
        wait = "a few minutes" if seconds is None else f"{seconds:.0f} s"
        return f"Kaggle says 'too many requests' (429; asked {attempts}x): repeat in {wait}"
    if status >= 500:
        return f"Kaggle fails ({status}; asked {attempts}x): repeat the command later"
    return f"Kaggle refuses ({said})"


def not_accepted(credentials: Credentials, why: str) -> str:
    """The line for credentials that Kaggle turns down."""
    return (
        f"{credentials.where}: Kaggle does not accept this {credentials.kind} ({why}): make a new"
        f" token at {TOKEN_URL} and put it there"
    )


def _server_words(error: requests.HTTPError) -> str:
    """The server's message: the client makes it the exception's text, or leaves it in the body."""
    try:
        content = json.loads(error.response.text)
        words = str(content.get("message", ""))
    except (ValueError, AttributeError, RuntimeError):
        words = ""
    return " ".join(words.split()).strip(".")[:300]


def _explain_connection(error: Exception, attempts: int) -> str:
    host = _host(error)
    asked = f"asked {attempts}x"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{host}: cannot be reached securely (TLS): check the clock, proxy and certificates"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{host}: cannot be reached through the proxy: check http_proxy and https_proxy"
    if isinstance(error, requests.Timeout | ReadTimeoutError) or "timed out" in str(error):
        return f"{host}: does not answer in time ({asked}): check the network, repeat the command"
    if isinstance(getattr(_reason(error), "reason", _reason(error)), NameResolutionError):
        return f"{host}: the name cannot be resolved ({asked}): check the network"
    if "refused" in str(error):
        return f"{host}: refuses the connection ({asked}): check the network and the proxy"
    if isinstance(error, requests.exceptions.JSONDecodeError | json.JSONDecodeError):
        return f"{host}: answers with something else than Kaggle's API: check the network"
    return f"{host}: the connection broke off ({asked}): repeat the command, it goes on from there"


def _reason(error: Exception) -> object:
    return error.args[0] if error.args else None


def _host(error: Exception) -> str:
    request = getattr(error, "request", None)
    url = getattr(request, "url", None) or ""
    return urllib.parse.urlsplit(url).netloc or "api.kaggle.com"
