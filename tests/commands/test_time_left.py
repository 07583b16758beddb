"""The time left of a training, with a clock that the test moves."""

from digit_recognizer.commands.time_left import TimeLeft
from digit_recognizer.training.members import EpochMetrics, Member

MEMBERS = [Member(fold, 0) for fold in range(3)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def begin(n_members: int, epochs: int, at_a_time: int) -> tuple[TimeLeft, Clock]:
    clock = Clock()
    return TimeLeft(MEMBERS[:n_members], epochs, at_a_time, clock), clock


def epoch(number: int, seconds: float) -> EpochMetrics:
    return EpochMetrics(number, 1e-3, 0.5, 0.9, 0.5, 0.9, seconds, 0.1)


def test_the_first_steps_tell_how_long_an_epoch_takes_without_the_start_up() -> None:
    time_left, clock = begin(1, epochs=10, at_a_time=1)
    clock.now += 30  # the worker starts
    time_left.step(MEMBERS[0], 0.0)
    assert time_left.left() is None
    clock.now += 4  # augmentation, before the first step
    time_left.step(MEMBERS[0], 0.0)
    clock.now += 3
    time_left.step(MEMBERS[0], 0.25)  # so an epoch takes 4 + 12 s
    assert time_left.left() == 9.75 * 16
    assert time_left.elapsed() == 37


def test_the_time_left_goes_down_with_the_clock_and_not_below_zero() -> None:
    time_left, clock = begin(1, epochs=3, at_a_time=1)
    time_left.epoch(MEMBERS[0], epoch(1, seconds=20))
    assert time_left.left() == 40
    clock.now += 15
    assert time_left.left() == 25
    clock.now += 1000
    assert time_left.left() == 0


def test_a_waiting_member_follows_the_one_that_is_done_first() -> None:
    time_left, _ = begin(3, epochs=2, at_a_time=2)
    time_left.epoch(MEMBERS[1], epoch(1, seconds=20))
    assert time_left.running() == MEMBERS[:2]
    assert time_left.n_waiting() == 1
    assert time_left.left() == 20 + 40  # the third begins when the second has done its last epoch


def test_predictions_after_the_last_epoch_count_once_a_member_has_made_them() -> None:
    time_left, clock = begin(2, epochs=1, at_a_time=1)
    time_left.epoch(MEMBERS[0], epoch(1, seconds=20))
    clock.now += 5
    time_left.finish(MEMBERS[0])
    assert time_left.running() == [MEMBERS[1]]
    assert time_left.left() == 20 + 5
