"""Commands and options in messages, in the form in which the user calls this program."""

import os
import re
import sys
from pathlib import Path

_OPTION = r"(?:(?:FORCE|YES)=1|(?:DATA|FILE|MNIST_URL|OUT|RECIPES?|RUNS?|SOURCE)\b=?)"
_BEFORE = "give|with|another|as|a|of|error:"  # an option; elsewhere it may be a user's own word


def program() -> str:
    """Return how this program was started, without make."""
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return "python -m digit_recognizer" if is_module else "digit-recognizer"


def as_called(text: str) -> str:
    """Return a message as whoever calls this program can use it.

    Messages are written for make: 'make train RUN=a', FORCE=1. The Makefile sets a variable that
    leaves them so; without it they become 'digit-recognizer train --run a' and --force.
    """
    if os.environ.get("DIGIT_RECOGNIZER_MAKE"):
        return text
    text = re.sub(r"'make (?!setup)([a-z]+)([^']*)'", _command, text)
    text = re.sub(rf"\b(?:{_BEFORE}) {_OPTION}", lambda found: _options(found[0]), text)
    return re.sub(r'ARGS="([^"]*)"', r"\1", text)


def _command(found: re.Match[str]) -> str:
    return f"'{program()} {found[1]}{_options(found[2])}'"


def _options(text: str) -> str:
    return re.sub(rf"(?<= ){_OPTION}", _option, text)


def _option(found: re.Match[str]) -> str:
    name, equals, value = found[0].partition("=")
    flag = f"--{name.lower().replace('_', '-')}"
    return f"{flag} " if equals and not value else flag
