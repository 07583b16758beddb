"""Find credentials in the order of Kaggle's client, without the client or the network."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.errors import KaggleError

COMPETITION_URL = "https://www.kaggle.com/competitions/digit-recognizer"
TOKEN_URL = "https://www.kaggle.com/settings/api"
TOKEN_HELP = f"""\
How to sign in: run 'kaggle auth login' (in a clone: .venv/bin/kaggle), which opens the browser. Or
  get a token: at {TOKEN_URL}, press 'Generate New Token', and put it in the
  file ~/.kaggle/access_token (then: chmod 600 ~/.kaggle/access_token) or in KAGGLE_API_TOKEN.
A kaggle.json, and KAGGLE_USERNAME with KAGGLE_KEY, serve as well."""
NO_TOKEN_HELP = f"""\
{TOKEN_HELP}
Without a token: 'make train DATA=sample' trains on a small sample at once, and
  'make download SOURCE=/path/to/digit-recognizer.zip' takes the zip that your browser fetched
  from {COMPETITION_URL}/data"""


@dataclass(frozen=True)
class Credentials:
    """Kind and location of credentials, never their value."""

    kind: str  # "access token", "API key" or "OAuth"
    location: str  # a file or a variable

    @property
    def warning(self) -> str:
        """Advice where others can read the file; empty elsewhere."""
        path = Path(self.location)
        if os.name == "nt" or not path.is_file() or not path.stat().st_mode & 0o044:
            return ""
        return f"{path}: other users of this machine can read it: run 'chmod 600 {path}'"

    @property
    def rejection_message(self) -> str:
        """The line to show where Kaggle does not accept them."""
        advice = f"make a new token at {TOKEN_URL} and put it there"
        if self.kind == "OAuth":
            advice = "run 'kaggle auth login' again"
        return f"{self.location}: Kaggle does not accept this {self.kind}: {advice}"


def find_credentials() -> Credentials | None:
    """Return the credentials that Kaggle's client would use, or None."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return Credentials("access token", "KAGGLE_API_TOKEN")
    for name in ("access_token", "access_token.txt"):
        path = _home() / ".kaggle" / name
        if _read_text(path):
            return Credentials("access token", str(path))
    given = {name: os.environ.get(f"KAGGLE_{name.upper()}") for name in ("username", "key")}
    if all(given.values()):
        return Credentials("API key", "KAGGLE_USERNAME and KAGGLE_KEY")
    path = kaggle_json()
    if path.is_file():
        content = _read_json(path)
        if all(given[name] or content.get(name) for name in given):
            return Credentials("API key", str(path))
        advice = f"make a new one at {TOKEN_URL}"
        raise KaggleError(f"{path}: is not a Kaggle key (JSON with username and key): {advice}")
    path = _home() / ".kaggle" / "credentials.json"  # of a sign-in by browser
    if _read_json(path).get("refresh_token"):
        return Credentials("OAuth", str(path))
    if any(given.values()):
        raise KaggleError("KAGGLE_USERNAME and KAGGLE_KEY: one is missing: set both, or neither")
    return None


def kaggle_json() -> Path:
    """Return the path of ``kaggle.json``: in KAGGLE_CONFIG_DIR, ~/.kaggle or XDG's folder."""
    if given := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(given) / "kaggle.json"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config")
    paths = (_home() / ".kaggle" / "kaggle.json", config / "kaggle" / "kaggle.json")
    return next(filter(Path.is_file, paths), paths[0])


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home() fails for users without one)


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
