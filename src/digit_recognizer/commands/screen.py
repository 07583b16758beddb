"""The terminal: the only module that prints, and that asks."""

import os
import sys


def say(text: str) -> None:
    """Print a line to the screen at once; a reader who has left (``| head``) ends nothing."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Print a line where errors go."""
    print(text, file=sys.stderr)


def ask(question: str) -> bool:
    """Whether the user answers yes."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
