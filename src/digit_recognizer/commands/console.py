"""The terminal: the only module that prints and asks; live displays and plain lines."""

import logging
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from digit_recognizer.commands.caller import as_called
from digit_recognizer.commands.time_left import TimeLeft

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

    from digit_recognizer.training.members import EpochMetrics, Member

LINES_BESIDE = 6  # of the members' rows on the screen


def echo(text: str) -> None:
    """Print and flush; ignore a reader who has left (``| head``)."""
    try:
        print(_readable(text, sys.stdout), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(text: str) -> None:
    """Print to stderr."""
    print(_readable(text, sys.stderr), file=sys.stderr)


def _readable(text: str, stream: TextIO) -> str:
    """Return a message as it is printed: as the user calls commands, wrapped on a terminal.

    Paths are relative to the current folder; control characters are escaped.
    """
    text = escape_control(as_called(text))
    with suppress(OSError):  # the folder may be gone
        text = re.sub(rf"(?<![\w/.:-]){re.escape(str(Path.cwd()))}/(?=\w)", "", text)
    width = _terminal_width(stream)
    return "\n".join(
        line if width is None or len(line) <= width else _wrap(line, width)
        for line in text.split("\n")
    )


def _terminal_width(stream: TextIO) -> int | None:
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _wrap(line: str, width: int) -> str:
    """Wrap a line at words, below its value where it is a label, spaces and a value."""
    label = re.match(r" *\S+( \S+)*  +|  +|", line)
    indent = min(label.end() if label else 0, width // 2) * " "
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def escape_control(text: str) -> str:
    """Return text with control characters, such as colour codes, in Python's notation.

    They come with a server's words and file names; lone surrogates could not be printed.
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


class PrintHandler(logging.Handler):
    """Print what the package logs, line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message."""
        echo(record.getMessage())


def ask(question: str) -> bool:
    """Ask a yes-or-no question; no answer is no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def transfer_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows a progress bar: of a text, bytes done, bytes in all or 0."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done)

        yield show


@contextmanager
def count_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function that moves a progress bar of `total` steps by one; one step shows none."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    hidden = total < 2 or not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


@contextmanager
def waiting_progress() -> Iterator[Callable[[float, float], None]]:
    """Yield a function that shows seconds waited for Kaggle, and seconds at most."""
    from rich.console import Console

    console = Console(stderr=True)
    status = console.status("")

    def show(waited: float, limit: float) -> None:
        if console.is_terminal:
            status.update(f"waiting for Kaggle: {waited:.0f} of at most {limit:.0f} s")
            status.start()

    try:
        yield show
    finally:
        status.stop()


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show a text beside a moving sign, on a terminal, until the block ends."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(text) if console.is_terminal else nullcontext():
        yield


class TrainingDisplay:
    """The members in training, with a clock and the time left; plain lines without a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, highlight=False)
        self._live: Live | None = None

    def begin(
        self, missing: "Sequence[Member]", kept: "Sequence[Member]", epochs: int, at_a_time: int
    ) -> None:
        """Start the display; `kept` are the members of an earlier session."""
        self._n_kept, self._n_members = len(kept), len(kept) + len(missing)
        self._latest: dict[Member, EpochMetrics] = {}
        self._time = TimeLeft(missing, epochs, at_a_time)
        before = f", {len(kept)} of them kept from before" if kept else ""
        members = count(self._n_members, "member")
        self._console.print(f"training {members} of {count(epochs, 'epoch')}{before}")
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._view, console=self._console, refresh_per_second=4
            )
            self._live.start()

    def step(self, member: "Member", epochs_done: float) -> None:
        """Note how far a member is; the first call is its start."""
        self._time.step(member, epochs_done)

    def epoch(self, member: "Member", epoch: "EpochMetrics") -> None:
        """Show an epoch that a member finished."""
        self._latest[member] = epoch
        self._time.epoch(member, epoch)
        if self._live:
            return
        self._console.print(
            f"{member.name}  epoch {epoch.epoch:>3}/{self._time.epochs}"
            f"  train loss {epoch.train_loss:.4f}  val loss {epoch.val_loss:.4f}"
            f"  val accuracy {epoch.val_accuracy:.4f}  {self._time_left()}",
            soft_wrap=True,
        )

    def finished(self, member: "Member") -> None:
        """Note that a member is trained and on disk."""
        self._time.finish(member)

    def end(self) -> None:
        """Stop the display; where training was cut short, say what is kept and what is lost."""
        if self._live:
            self._live.stop()
        unfinished = set(self._time.members) - set(self._time.finished)
        if unfinished:
            lost = [
                f"{done:.1f} epochs of {member.name}"
                for member, done in self._time.epochs_done.items()
                if member in unfinished
            ]
            n_kept = self._n_members - len(unfinished)
            kept = f"{n_kept} of {count(self._n_members, 'member')} kept"
            print_error(f"{kept}, lost: {', '.join(lost) or 'nothing'}")

    def _view(self) -> "Group":
        """Return what the screen shows: what is done in one line, what runs in one line each."""
        from rich.console import Group

        from digit_recognizer.runs.metrics import duration

        elapsed = f"{duration(self._time.elapsed())} elapsed"
        if not self._time.running():
            return Group(self._done(), elapsed)
        return Group(self._done(), self._running(), f"{elapsed}, {self._time_left()}")

    def _done(self) -> str:
        """Return how many members are done, with their accuracies, and how many wait."""
        finished = list(self._time.finished)
        text = f"{self._n_kept + len(finished)}/{self._n_members} members done"
        if finished:
            accuracies = [self._latest[member].val_accuracy for member in finished]
            low, high = f"{min(accuracies):.4f}", f"{max(accuracies):.4f}"
            text += f" (val accuracy {low})" if low == high else f" (val accuracy {low} to {high})"
        n_waiting = self._time.n_waiting()
        return f"{text}, {n_waiting} waiting" if n_waiting else text

    def _running(self) -> "Table":
        """Return a table of the running members, as many as the screen is high."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("member", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("", ratio=1)
        for name in ("train loss", "val loss", "val accuracy"):
            table.add_column(name, justify="right", no_wrap=True)
        epochs = self._time.epochs
        for member in self._time.running()[: max(1, self._console.height - LINES_BESIDE)]:
            done, latest = self._time.epochs_done.get(member), self._latest.get(member)
            figures = (latest.train_loss, latest.val_loss, latest.val_accuracy) if latest else ()
            texts = [f"{figure:.4f}" for figure in figures]
            epoch = "starting" if done is None else f"{min(int(done) + 1, epochs)}/{epochs}"
            table.add_row(member.name, epoch, ProgressBar(epochs, done or 0.0), *texts)
        return table

    def _time_left(self) -> str:
        from digit_recognizer.runs.metrics import duration

        left = self._time.left()
        return "time left: unknown yet" if left is None else f"about {duration(left)} left"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 member`` or ``6 members``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Return lines of left-aligned columns, two spaces apart.

    What is too wide for the terminal follows below, beside the first column again.
    """
    first, *others = (
        [cell.ljust(max(map(len, column))) for cell in column]
        for column in zip(*table, strict=True)
    )
    width = _terminal_width(sys.stdout) or math.inf
    bands = [[first]]
    for column in others:
        is_full = len("  ".join(cells[0] for cells in [*bands[-1], column])) > width
        if is_full and len(bands[-1]) > 1:
            bands.append([first])
        bands[-1].append(column)
    return "\n\n".join(
        "\n".join("  ".join(row).rstrip() for row in zip(*band, strict=True)) for band in bands
    )
