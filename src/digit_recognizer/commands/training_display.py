"""The members in training: bars on a terminal, a line for each epoch elsewhere."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from digit_recognizer.commands.console import print_error
from digit_recognizer.runs.metrics import duration
from digit_recognizer.training.members import EpochMetrics, Member


class TrainingDisplay:
    """A bar for all epochs, and one for each member in training."""

    def begin(self, missing: Sequence[Member], n_kept: int, epochs: int, begun: int) -> None:
        """Start the display; an earlier session left `n_kept` members and `begun` epochs more."""
        self._n_kept, self._n_members, self._epochs = n_kept, n_kept + len(missing), epochs
        self._bars = Progress(
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
            expand=True,
            speed_estimate_period=3600,
        )
        self._tasks: dict[Member, Task] = {}
        self._n_finished, self._n_kept_epochs = 0, 0.0
        self._bars.add_task("", total=epochs * len(missing) - begun, figures="")
        self._show_total()
        kept = [_count(n_kept, "member")] * (n_kept > 0) + [_count(begun, "epoch")] * (begun > 0)
        before = f" (kept: {', '.join(kept)})" if kept else ""
        members = _count(self._n_members, "member")
        self._bars.console.print(f"training {members} of {_count(epochs, 'epoch')}{before}")
        if self._bars.console.is_terminal:
            self._bars.start()

    def step(self, member: Member, epochs_done: float) -> None:
        """Show how far a member is; the first call is its start."""
        if member not in self._tasks:
            self._bars.add_task(member.name, total=self._epochs, figures="")
            self._tasks[member] = self._bars.tasks[-1]
            self._n_kept_epochs += epochs_done  # by an earlier session
        self._bars.update(self._tasks[member].id, completed=epochs_done)
        self._show_total()

    def epoch(self, member: Member, epoch: EpochMetrics) -> None:
        """Show an epoch that a member finished."""
        self.step(member, float(epoch.epoch))
        figures = f"loss {epoch.train_loss:.4f}  val accuracy {epoch.val_accuracy:.4f}"
        self._bars.update(self._tasks[member].id, figures=figures)
        if self._bars.console.is_terminal and epoch.epoch < self._epochs:
            return
        self._bars.console.print(
            f"{member.name}  epoch {epoch.epoch:>3}/{self._epochs}"
            f"  train loss {epoch.train_loss:.4f}  val loss {epoch.val_loss:.4f}"
            f"  val accuracy {epoch.val_accuracy:.4f}  {self._time_left()}",
            soft_wrap=True,
        )

    def finished(self, member: Member) -> None:
        """Take a member away that is trained and on disk."""
        self._n_finished += 1
        self._bars.update(self._tasks[member].id, visible=False)
        self._show_total()

    def end(self) -> None:
        """Stop the display; where training was cut short, say what is kept and what is lost."""
        if self._bars.console.is_terminal:
            self._bars.stop()
        n_kept = self._n_kept + self._n_finished
        if n_kept < self._n_members:
            kept, lost = [f"{n_kept} of {_count(self._n_members, 'member')}"], []
            for task in self._tasks.values():
                if task.visible:
                    # The last epoch leaves no checkpoint: the member follows at once.
                    n_epochs = min(int(task.completed), self._epochs - 1)
                    kept += [f"{_count(n_epochs, 'epoch')} of {task.description}"] * (n_epochs > 0)
                    lost.append(f"{task.completed - n_epochs:.1f} of {task.description}")
            print_error(f"kept: {', '.join(kept)}; epochs lost: {', '.join(lost) or 'none'}")

    def _show_total(self) -> None:
        self._bars.update(
            self._bars.task_ids[0],
            description=f"{self._n_kept + self._n_finished}/{self._n_members} members",
            completed=sum(task.completed for task in self._tasks.values()) - self._n_kept_epochs,
        )

    def _time_left(self) -> str:
        """Return the time left at the speed of all epochs so far."""
        left = self._bars.tasks[0].time_remaining
        return "time left: unknown yet" if left is None else f"about {duration(left)} left"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
