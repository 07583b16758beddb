"""The members in training: bars on a terminal, a line for each epoch elsewhere."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich import progress
from rich.console import Console

from digit_recognizer.commands.console import print_error
from digit_recognizer.runs.metrics import duration
from digit_recognizer.training.members import EpochMetrics, Member


class TrainingDisplay:
    """A bar for all epochs, and one for each member in training."""

    @contextmanager
    def training(
        self, n_members: int, n_kept: int, epochs: int, epochs_kept: Mapping[Member, int]
    ) -> Iterator[None]:
        """Show a training until the block ends, and what is kept where it was cut short."""
        self._n_members, self._n_done, self._epochs = n_members, n_kept, epochs
        self._epochs_kept = epochs_kept  # that an earlier session left
        self._tasks: dict[Member, progress.Task] = {}
        console = Console(stderr=True, highlight=False)
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.MofNCompleteColumn(),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.fields[figures]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            expand=True,
            speed_estimate_period=3600,
        )
        n_epochs_kept = sum(epochs_kept.values())
        self._bars.add_task("", total=epochs * (n_members - n_kept) - n_epochs_kept, figures="")
        self._show_total()
        kept = [_count(n, noun) for n, noun in ((n_kept, "member"), (n_epochs_kept, "epoch")) if n]
        note = f" (kept: {', '.join(kept)})" if kept else ""
        console.print(f"training {_count(n_members, 'member')} of {_count(epochs, 'epoch')}{note}")
        try:
            with self._bars:
                yield
        finally:
            if self._n_done < n_members:
                print_error(self._interruption())

    def step(self, member: Member, epochs_done: float) -> None:
        """Show how far a member is; the first call is its start."""
        if member not in self._tasks:
            self._bars.add_task(member.name, total=self._epochs, figures="")
            self._tasks[member] = self._bars.tasks[-1]
        self._bars.update(self._tasks[member].id, completed=epochs_done)
        self._show_total()

    def epoch(self, member: Member, epoch: EpochMetrics) -> None:
        """Show an epoch that a member finished."""
        self.step(member, float(epoch.epoch))
        figures = f"loss {epoch.train_loss:.4f}  val accuracy {epoch.val_accuracy:.4f}"
        self._bars.update(self._tasks[member].id, figures=figures)
        line = f"{member.name}  epoch {epoch.epoch:>3}/{self._epochs}"
        if self._bars.console.is_terminal:
            if epoch.epoch == self._epochs:
                self._bars.console.print(f"{line}  {figures}")
            return
        left = self._bars.tasks[0].time_remaining  # at the speed of all epochs so far
        when = "time left: unknown yet" if left is None else f"about {duration(left)} left"
        losses = f"train loss {epoch.train_loss:.4f}  val loss {epoch.val_loss:.4f}"
        text = f"{line}  {losses}  val accuracy {epoch.val_accuracy:.4f}  {when}"
        self._bars.console.print(text, soft_wrap=True)

    def finished(self, member: Member) -> None:
        """Take a member away that is trained and on disk."""
        self._n_done += 1
        self._bars.update(self._tasks[member].id, visible=False)
        self._show_total()

    def _interruption(self) -> str:
        """Return what a training that was cut short leaves, and what is lost."""
        kept, lost = [f"{self._n_done} of {_count(self._n_members, 'member')}"], []
        for task in self._tasks.values():
            if task.visible:
                # The last epoch leaves no checkpoint: the member follows at once.
                n_epochs = min(int(task.completed), self._epochs - 1)
                kept += [f"{_count(n_epochs, 'epoch')} of {task.description}"] * (n_epochs > 0)
                lost.append(f"{task.completed - n_epochs:.1f} of {task.description}")
        not_resumed = sum(n for member, n in self._epochs_kept.items() if member not in self._tasks)
        if not_resumed:
            kept.append(f"{_count(not_resumed, 'epoch')} of members not resumed yet")
        return f"kept: {', '.join(kept)}; epochs lost: {', '.join(lost) or 'none'}"

    def _show_total(self) -> None:
        done = sum(task.completed for task in self._tasks.values())
        kept = sum(self._epochs_kept.get(member, 0) for member in self._tasks)
        members = f"{self._n_done}/{self._n_members} members"
        self._bars.update(self._bars.task_ids[0], description=members, completed=done - kept)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
