"""The time that a training still takes, from how fast it was so far."""

import time
from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from digit_recognizer.training.members import EpochMetrics, Member


class TimeLeft:
    """Progress of the members, and the time at which the last of them will be done.

    Members are trained in their order, `at_a_time` of them at once. Between two calls the time
    left goes down with the clock.
    """

    def __init__(
        self,
        members: "Sequence[Member]",
        epochs: int,
        at_a_time: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.members, self.epochs = list(members), epochs
        self.epochs_done: dict[Member, float] = {}  # of each member that has begun
        self.finished: list[Member] = []
        self._at_a_time, self._clock, self._start = at_a_time, clock, clock()
        self._steps: dict[Member, list[tuple[float, float]]] = {}  # when, and epochs done
        self._epoch_seconds: list[float] = []
        self._predict_seconds: list[float] = []  # of a member, after its last epoch
        self._end: float | None = None

    def step(self, member: "Member", epochs_done: float) -> None:
        """Note how far a member is; the first call is its start."""
        self.epochs_done[member] = epochs_done
        steps = self._steps.setdefault(member, [])
        steps[2:] = []  # the start, the first step, which augmentation delays, and the latest
        steps.append((self._clock(), epochs_done))
        self._estimate()

    def epoch(self, member: "Member", epoch: "EpochMetrics") -> None:
        """Note an epoch that a member finished."""
        self._epoch_seconds.append(epoch.seconds)
        self.step(member, float(epoch.epoch))

    def finish(self, member: "Member") -> None:
        """Note that a member is done."""
        self._predict_seconds.append(self._clock() - self._steps[member][-1][0])
        self.finished.append(member)
        self._estimate()

    def running(self) -> "list[Member]":
        """Return the members in training, as the workers take them in their order."""
        return self._unfinished()[: self._at_a_time]

    def n_waiting(self) -> int:
        """Return how many members have not begun."""
        return len(self._unfinished()[self._at_a_time :])

    def elapsed(self) -> float:
        """Return the seconds since training began."""
        return self._clock() - self._start

    def left(self) -> float | None:
        """Return the seconds until all members are done; None while nothing is known."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    def _unfinished(self) -> "list[Member]":
        finished = list(self.finished)
        return [member for member in self.members if member not in finished]

    def _estimate(self) -> None:
        """Set the expected end: each waiting member follows the one that is done first."""
        epoch_seconds = self._epoch_seconds or self._first_epoch_seconds()
        unfinished = self._unfinished()
        if not epoch_seconds or not unfinished:
            return
        pace, predict = fmean(epoch_seconds), fmean(self._predict_seconds or [0.0])
        seconds = [
            (self.epochs - self.epochs_done.get(member, 0.0)) * pace + predict
            for member in unfinished
        ]
        workers = seconds[: self._at_a_time]
        heapify(workers)
        for more in seconds[self._at_a_time :]:
            heapreplace(workers, workers[0] + more)
        self._end = self._clock() + max(workers)

    def _first_epoch_seconds(self) -> list[float]:
        """Extrapolate epochs that are not finished from their steps."""
        return [
            begun - start + (now - begun) / (done - done_before)
            for (start, _), (begun, done_before), (now, done) in (
                steps for steps in self._steps.values() if len(steps) == 3
            )
        ]
