"""The terminal: the only module that prints and asks; live displays and plain lines."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from digit_recognizer.commands.caller import as_called

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from digit_recognizer.training.members import EpochMetrics, Member


def echo(text: str) -> None:
    """Print and flush; ignore a reader who has left (``| head``)."""
    try:
        print(as_called(text), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(text: str) -> None:
    """Print to stderr."""
    print(as_called(text), file=sys.stderr)


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


class TrainingDisplay:
    """A table of members, epochs, loss, validation accuracy and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr)
        self._live: Live | None = None
        self._latest: dict[Member, EpochMetrics] = {}
        self._n_members = self._n_kept = self._epochs = 0
        self._started = 0.0

    def begin(self, members: "Sequence[Member]", done: "Sequence[Member]", epochs: int) -> None:
        """Start the display; `done` are the members of an earlier session."""
        self._n_members, self._n_kept, self._epochs = len(members), len(done), epochs
        self._started = time.monotonic()
        kept = f", {len(done)} of them kept from before" if done else ""
        text = f"training {len(members)} members of {epochs} epochs{kept}"
        self._console.print(text, highlight=False)
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start()

    def epoch(self, member: "Member", epoch: "EpochMetrics") -> None:
        """Show an epoch that a member finished."""
        self._latest[member] = epoch
        if self._live:
            self._live.update(self._table())
            return
        self._console.print(
            f"{member.name}  epoch {epoch.epoch:>3}/{self._epochs}"
            f"  train loss {epoch.train_loss:.4f}  val loss {epoch.val_loss:.4f}"
            f"  val accuracy {epoch.val_accuracy:.4f}  {self._time_left()}",
            highlight=False,
            soft_wrap=True,
        )

    def end(self) -> None:
        """Stop the display."""
        if self._live:
            self._live.stop()

    def _table(self) -> "Table":
        from rich.table import Table

        n_done = sum(epoch.epoch == self._epochs for epoch in self._latest.values())
        title = f"{self._n_kept + n_done}/{self._n_members} members done"
        table = Table(title=title, caption=self._time_left())
        for column in ("member", "epoch", "train loss", "val loss", "val accuracy"):
            table.add_column(column, justify="right")
        for member, epoch in self._latest.items():
            figures = (epoch.train_loss, epoch.val_loss, epoch.val_accuracy)
            texts = (f"{figure:.4f}" for figure in figures)
            table.add_row(member.name, f"{epoch.epoch}/{self._epochs}", *texts)
        return table

    def _time_left(self) -> str:
        done = sum(epoch.epoch for epoch in self._latest.values())
        if not done:
            return "time left: unknown yet"
        whole = (self._n_members - self._n_kept) * self._epochs
        left = (time.monotonic() - self._started) * (whole - done) / done
        return f"about {left / 60:.1f} min left" if left > 90 else f"about {left:.0f} s left"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Return lines of left-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
