"""Find credentials in the order of Kaggle's client, without the client or the network."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.errors import KaggleError

PAGE = "https://www.kaggle.com/competitions/digit-recognizer"
TOKEN_URL = "https://www.kaggle.com/settings/api"
TOKEN_HELP = f"""\
How to sign in: run 'kaggle auth login' (in a clone: .venv/bin/kaggle), which opens the browser. Or
  get a token: at {TOKEN_URL}, press 'Generate New Token', and put it in the
  file ~/.kaggle/access_token (then: chmod 600 ~/.kaggle/access_token) or in KAGGLE_API_TOKEN.
A kaggle.json, and KAGGLE_USERNAME with KAGGLE_KEY, serve as well."""
NO_TOKEN_HELP = f"""\
Without a token: 'make train DATA=sample' trains on a small sample at once, and
  'make download SOURCE=/path/to/digit-recognizer.zip' takes the zip that your browser fetched
  from {PAGE}/data"""


@dataclass(frozen=True)
class Credentials:
    """Kind and location of credentials, never their value.

    ``warning`` is set where others can read the file.
    """

    kind: str  # "access token", "API key" or "OAuth"
    location: str
    warning: str | None = None

    def rejection_message(self, reason: str) -> str:
        """Return the line to show where Kaggle does not accept them."""
        return (
            f"{self.location}: Kaggle does not accept this {self.kind} ({reason}): make a new"
            f" token at {TOKEN_URL} and put it there"
        )


def find_credentials() -> Credentials | None:
    """Return the credentials that Kaggle's client would use, or None."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return Credentials("access token", "KAGGLE_API_TOKEN")
    for name in ("access_token", "access_token.txt"):
        path = _home() / name
        if _read_text(path):
            return _in_file("access token", path)
    return _find_key() or _find_oauth()


def kaggle_json() -> Path:
    """Return the path of ``kaggle.json``: in KAGGLE_CONFIG_DIR, ~/.kaggle or XDG's folder."""
    given = os.environ.get("KAGGLE_CONFIG_DIR")
    if given:
        return Path(given) / "kaggle.json"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    paths = (_home() / "kaggle.json", config / "kaggle" / "kaggle.json")
    return next(filter(Path.is_file, paths), paths[0])


def _in_file(kind: str, path: Path) -> Credentials:
    if os.name == "nt" or not path.stat().st_mode & 0o044:
        return Credentials(kind, str(path))
    warning = f"{path}: other users of this machine can read it: run 'chmod 600 {path}'"
    return Credentials(kind, str(path), warning)


def missing_credentials_error() -> KaggleError:
    """Return the error for a missing token, with the ways to get one."""
    return KaggleError(
        f"no Kaggle credentials found: run 'kaggle auth login', or get a token at {TOKEN_URL} and"
        " put it in ~/.kaggle/access_token",
        f"{TOKEN_HELP}\n{NO_TOKEN_HELP}",
    )


def _find_key() -> Credentials | None:
    """Find a user name and key in the environment, in ``kaggle.json``, or one in each."""
    given = {name: f"KAGGLE_{name.upper()}" for name in ("username", "key")}
    present = [variable for variable in given.values() if os.environ.get(variable)]
    if len(present) == 2:
        return Credentials("API key", " and ".join(present))
    path = kaggle_json()
    if path.is_file():
        content = _read_json(path)
        if all(content.get(name) or os.environ.get(given[name]) for name in given):
            return _in_file("API key", path)
        raise KaggleError(
            f"{path}: is not a Kaggle key (JSON with username and key): make a new one at"
            f" {TOKEN_URL}"
        )
    if present and not _find_oauth():
        missing = next(variable for variable in given.values() if variable not in present)
        raise KaggleError(f"{present[0]} is set but {missing} is not: set both, or neither")
    return None


def _find_oauth() -> Credentials | None:
    path = _home() / "credentials.json"
    if not path.is_file() or not _read_json(path).get("refresh_token"):
        return None
    return _in_file("OAuth", path)


def _home() -> Path:
    return Path.home() / ".kaggle"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise KaggleError(f"{path}: cannot be read: fix it, or delete it") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path) or "{}")
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}
