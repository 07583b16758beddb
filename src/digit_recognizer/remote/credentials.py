"""Which credentials there are, found in the order in which Kaggle's client looks for them.

Without that client, and without the network: this must be quick, and quiet.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.remote.errors import RemoteError

TOKEN_URL = "https://www.kaggle.com/settings/api"
HOW_TO_GET_ONE = f"""\
How to get a token: sign in at {TOKEN_URL}, press 'Generate New Token', and put it
  in the file ~/.kaggle/access_token (then: chmod 600 ~/.kaggle/access_token),
  or in the variable KAGGLE_API_TOKEN.
A kaggle.json, KAGGLE_USERNAME with KAGGLE_KEY, and 'kaggle auth login' serve as well."""
WITHOUT_ONE = """\
Without a token: 'make train DATA=sample' trains on a small sample at once, and
  'make download SOURCE=/path/to/digit-recognizer.zip' takes the zip that your browser fetched
  from https://www.kaggle.com/competitions/digit-recognizer/data"""


@dataclass(frozen=True)
class Credentials:
    """Which kind was found and where; never the value.

    ``warning`` is set where others can read the file.
    """

    kind: str  # "access token", "API key" or "OAuth"
    where: str
    warning: str | None = None


def find_credentials() -> Credentials | None:
    """The credentials that Kaggle's client would use, or None.

    Raises
    ------
    RemoteError
        If something is there that cannot be credentials: half of a pair, a damaged file.
    """
    if os.environ.get("KAGGLE_API_TOKEN"):
        return Credentials("access token", "KAGGLE_API_TOKEN")
    for name in ("access_token", "access_token.txt"):
        path = _home() / name
        if _text(path):
            return Credentials("access token", str(path), readable_by_others(path))
    return _find_key() or _find_oauth()


def kaggle_json() -> Path:
    """Where ``kaggle.json`` is, or would be: KAGGLE_CONFIG_DIR, ~/.kaggle, XDG's folder."""
    given = os.environ.get("KAGGLE_CONFIG_DIR")
    if given:
        return Path(given) / "kaggle.json"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    elsewhere = config / "kaggle" / "kaggle.json"
    usual = _home() / "kaggle.json"
    return elsewhere if elsewhere.is_file() and not usual.is_file() else usual


def readable_by_others(path: Path) -> str | None:
    """A warning if someone else on this machine can read `path`."""
    if os.name == "nt" or not path.is_file() or not path.stat().st_mode & 0o044:
        return None
    return f"{path}: other users of this machine can read it: run 'chmod 600 {path}'"


def no_credentials() -> RemoteError:
    """What is said where Kaggle is needed and there are no credentials."""
    return RemoteError(
        f"no Kaggle credentials found: get a token at {TOKEN_URL} and put it in"
        " ~/.kaggle/access_token",
        f"{HOW_TO_GET_ONE}\n{WITHOUT_ONE}",
    )


def _find_key() -> Credentials | None:
    """A user name and key, from the environment, from ``kaggle.json``, or one from each."""
    given = {name: f"KAGGLE_{name.upper()}" for name in ("username", "key")}
    present = [variable for variable in given.values() if os.environ.get(variable)]
    if len(present) == 2:
        return Credentials("API key", " and ".join(present))
    path = kaggle_json()
    if path.is_file():
        content = _object(path)
        if all(content.get(name) or os.environ.get(given[name]) for name in given):
            return Credentials("API key", str(path), readable_by_others(path))
        raise RemoteError(
            f"{path}: is not a Kaggle key (JSON with username and key): make a new one at"
            f" {TOKEN_URL}"
        )
    if present and not _find_oauth():
        missing = next(variable for variable in given.values() if variable not in present)
        raise RemoteError(f"{present[0]} is set but {missing} is not: set both, or neither")
    return None


def _find_oauth() -> Credentials | None:
    path = _home() / "credentials.json"
    if not path.is_file() or not _object(path).get("refresh_token"):
        return None
    return Credentials("OAuth", str(path), readable_by_others(path))


def _home() -> Path:
    return Path.home() / ".kaggle"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise RemoteError(f"{path}: cannot be read: mend it, or delete it") from None


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}
