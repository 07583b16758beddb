"""The terminal: with the display of a training, the only module that prints and asks."""

import logging
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

OPTION = r"(?:(?:FORCE|YES)=1|(?:DATA|FILE|MNIST_URL|OUT|RECIPES?|RUNS?|SOURCE)\b=?)"
# An option stands after one of these; elsewhere it may be a user's own word.
_BEFORE_OPTION = r"\b(?:give|with|another|as|a|of|error:)"


def program() -> str:
    """Return how this program was started, without make."""
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return "python -m digit_recognizer" if is_module else "digit-recognizer"


def as_called(text: str) -> str:
    """Return a message with commands and options as the user types them.

    Messages are written for make: 'make train RUN=a', FORCE=1. The Makefile sets a variable that
    leaves them so; without it they become 'digit-recognizer train --run a' and --force.
    """
    if os.environ.get("DIGIT_RECOGNIZER_MAKE"):
        return text
    for place in (r"(?<=')make (?!setup)[a-z]+[^']*(?=')", f"{_BEFORE_OPTION} {OPTION}"):
        text = re.sub(place, _with_flags, text)
    return re.sub(r'ARGS="([^"]*)"', r"\1", text)


def _with_flags(found: re.Match[str]) -> str:
    def flag(option: re.Match[str]) -> str:
        name, equals, value = option[0].partition("=")
        return f"--{name.lower().replace('_', '-')}{' ' if equals and not value else ''}"

    command = re.sub("^make(?= )", program(), found[0])
    return re.sub(f"(?<= ){OPTION}", flag, command)


def echo(text: str) -> None:
    """Print and flush; ignore a closed pipe (``| head``)."""
    try:
        print(_readable(text, sys.stdout), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(text: str) -> None:
    """Print to stderr."""
    print(_readable(text, sys.stderr), file=sys.stderr)


def _readable(text: str, stream: TextIO) -> str:
    """Return a message as it is printed: as the user calls commands, wrapped on a terminal.

    Paths are relative to the current folder. Control characters, which come with a server's words
    and file names, are escaped; lone surrogates could not be printed.
    """
    text = "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in as_called(text)
    )
    with suppress(OSError):  # the folder may be gone
        text = re.sub(rf"(?<![\w/.:-]){re.escape(str(Path.cwd()))}/(?=\w)", "", text)
    if not stream.isatty():
        return text
    return "\n".join(_wrap(line, shutil.get_terminal_size().columns) for line in text.split("\n"))


def _wrap(line: str, width: int) -> str:
    """Wrap a line at words; after a label and two spaces, indent further lines to the value."""
    label = re.match(r" *\S+( \S+)*  +|  +|", line)
    indent = min(label.end() if label else 0, width // 2) * " "
    wrapper = textwrap.TextWrapper(
        width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return line if len(line) <= width else wrapper.fill(line)


class PrintHandler(logging.Handler):
    """Print what the package logs, line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message."""
        echo(record.getMessage())


def ask(question: str) -> bool:
    """Ask a yes-or-no question; return True for y or yes only."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def transfer_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of a label, the bytes done and the total (0: unknown) that moves a bar."""
    from rich import progress
    from rich.console import Console

    console, tasks = Console(stderr=True), {}
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    times = (progress.DownloadColumn(), progress.TimeRemainingColumn())
    disable = not console.is_terminal
    bars = progress.Progress(*columns, *times, console=console, transient=True, disable=disable)

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total or None)
        bars.update(tasks[what], completed=done)

    with bars:
        yield show


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner with a text until the block ends; yield a function that changes the text."""
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


def format_columns(table: Sequence[Sequence[str]]) -> str:
    """Return lines of left-aligned columns, two spaces apart.

    Columns too wide for the terminal follow in further blocks, each with the first column.
    """
    first, *others = (
        [cell.ljust(max(map(len, column))) for cell in column]
        for column in zip(*table, strict=True)
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
    bands = [[first]]
    for column in others:
        is_full = len("  ".join(cells[0] for cells in [*bands[-1], column])) > width
        if is_full and len(bands[-1]) > 1:
            bands.append([first])
        bands[-1].append(column)
    return "\n\n".join(
        "\n".join("  ".join(row).rstrip() for row in zip(*band, strict=True)) for band in bands
    )
