"""How the terminal shows what takes long: live where it is one, plain lines where it is not."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:  # importing torch would make every download wait for seconds
    from digit_recognizer.learning.fit import Epoch
    from digit_recognizer.learning.folds import Member


@contextmanager
def transfer_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for bytes: a function of what, bytes done and bytes in all (0: unknown)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done)

        yield show


@contextmanager
def waiting_progress() -> Iterator[Callable[[float, float], None]]:
    """A line that says for how long something is waited for: seconds so far, and at most."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda waited, limit: None
        return
    status = console.status("")
    try:

        def show(waited: float, limit: float) -> None:
            status.update(f"waiting for Kaggle: {waited:.0f} of at most {limit:.0f} s")
            status.start()

        yield show
    finally:
        status.stop()


class TrainingDisplay:
    """Members, epochs, loss, validation accuracy and time left."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._live: Live | None = None
        self._latest: dict[Member, Epoch] = {}
        self._members: Sequence[Member] = ()
        self._started = self._epochs = 0.0
        self._kept = 0

    def begin(self, members: "Sequence[Member]", done: "Sequence[Member]", epochs: int) -> None:
        """Training starts; `done` are the members kept from before."""
        self._members, self._kept, self._epochs = members, len(done), epochs
        self._started = time.monotonic()
        self._console.print(
            f"training {len(members)} members of {epochs} epochs"
            + (f", {len(done)} of them kept from before" if done else ""),
            highlight=False,
        )
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start()

    def epoch(self, member: "Member", epoch: "Epoch") -> None:
        """A member finished an epoch."""
        self._latest[member] = epoch
        if self._live:
            self._live.update(self._table())
            return
        self._console.print(
            f"{member.name}  epoch {epoch.epoch:>3}/{self._epochs:.0f}"
            f"  train loss {epoch.train_loss:.4f}  val loss {epoch.val_loss:.4f}"
            f"  val accuracy {epoch.val_accuracy:.4f}  {self._time_left()}",
            highlight=False,
            soft_wrap=True,
        )

    def end(self) -> None:
        """Training is over, well or not."""
        if self._live:
            self._live.stop()

    def _table(self) -> Table:
        table = Table(
            title=f"{self._kept + self._n_done()}/{len(self._members)} members done",
            caption=self._time_left(),
        )
        for column in ("member", "epoch", "train loss", "val loss", "val accuracy"):
            table.add_column(column, justify="right")
        for member, epoch in self._latest.items():
            table.add_row(
                member.name,
                f"{epoch.epoch}/{self._epochs:.0f}",
                f"{epoch.train_loss:.4f}",
                f"{epoch.val_loss:.4f}",
                f"{epoch.val_accuracy:.4f}",
            )
        return table

    def _n_done(self) -> int:
        return sum(epoch.epoch == self._epochs for epoch in self._latest.values())

    def _time_left(self) -> str:
        done = sum(epoch.epoch for epoch in self._latest.values())
        if not done:
            return "time left: unknown yet"
        whole = (len(self._members) - self._kept) * self._epochs
        seconds = (time.monotonic() - self._started) * (whole - done) / done
        return (
            f"about {seconds / 60:.1f} min left" if seconds > 90 else f"about {seconds:.0f} s left"
        )
