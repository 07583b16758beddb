"""Members are spread over devices; a worker that is killed ends the training with one line."""

import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace

import pytest
from support.small import noise_rows

from digit_recognizer.errors import TrainingError
from digit_recognizer.training.device import Device, count_cores
from digit_recognizer.training.members import Checkpoint, Member, TrainedMember
from digit_recognizer.training.parallel import OnEpoch, train_members, worker_devices
from digit_recognizer.training.recipe import Recipe

DEVICES = [Device("cpu", "fp32")] * 2
RECIPE = Recipe(n_splits=2, epochs=2, batch_size=10, network="mlp", tta=1)
DATA = noise_rows(100, n_test=300)  # more than a pipe holds
MEMBERS = [Member(0, 0), Member(1, 0), Member(0, 1)]
workers = multiprocessing.active_children  # the processes that this one started to train


def trained(
    on_epoch: OnEpoch, members: list[Member] = MEMBERS, recipe: Recipe = RECIPE
) -> list[TrainedMember]:
    starts = [Checkpoint(member) for member in members]
    with closing(train_members(recipe, DATA, starts, DEVICES, on_epoch)) as results:
        return list(results)


def test_members_share_gpus_in_turn_and_a_cpu_core_by_core() -> None:
    cpu = Device("cpu", "fp32")
    first, second = Device("cuda:0", "bf16"), Device("cuda:1", "bf16")
    assert worker_devices([first, second], None) == [first, second]
    assert worker_devices([first, second], 3) == [first, second, first]
    assert worker_devices([first, second], 1) == [first]
    assert worker_devices([cpu], None) == [cpu] * count_cores()
    assert worker_devices([cpu], 3) == [cpu] * 3


def while_starting(kill: Callable[[], None]) -> OnEpoch:
    def kill_the_first() -> None:
        while not workers():
            time.sleep(0.001)
        kill()

    threading.Thread(target=kill_the_first).start()
    return lambda checkpoint: None


def after_an_epoch(kill: Callable[[], None]) -> OnEpoch:
    return lambda checkpoint: kill()


def with_half_a_result_in_the_pipe(kill: Callable[[], None]) -> OnEpoch:
    def on_epoch(checkpoint: Checkpoint) -> None:
        if len(checkpoint.history) == RECIPE.epochs:
            time.sleep(1)  # nobody reads: the worker fills the pipe and waits
            kill()

    return on_epoch


OWN_NETWORK = """
from torch import nn

class OwnError(Exception): pass

class Network(nn.Sequential):
    def forward(self, x):
        if self.training:
            raise OwnError("not today")
        return super().forward(x)

def build():
    return Network(nn.Flatten(), nn.Linear(784, 10))
"""


def test_an_error_of_a_class_in_the_users_own_file_is_named() -> None:
    """No pipe can carry it: the worker would end in sending it, as one that is killed."""
    recipe = replace(RECIPE, network="mine.py:build", network_source=OWN_NETWORK)
    with pytest.raises(RuntimeError, match="OwnError: not today"):
        trained(lambda checkpoint: None, recipe=recipe)


def test_workers_on_the_cpu_see_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the one that is full or broken, and AdamW sets it up, whatever it trains on."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    check = "import os\nassert not os.environ['CUDA_VISIBLE_DEVICES'], 'sees a GPU'\n"
    source = check + "from digit_recognizer.training.zoo import mlp"
    assert trained(
        lambda _: None, recipe=replace(RECIPE, network="a.py:mlp", network_source=source)
    )


@pytest.mark.parametrize("moment", [while_starting, after_an_epoch, with_half_a_result_in_the_pipe])
def test_a_killed_worker_ends_the_training(moment: Callable[..., OnEpoch]) -> None:
    killed = []

    def kill() -> None:
        killed.append(time.monotonic())
        for worker in workers():
            worker.kill()

    with pytest.raises(TrainingError, match="a worker process was killed, perhaps because"):
        trained(moment(kill), [Member(0, 0)])
    assert time.monotonic() - killed[0] < 20
    assert workers() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_marathon_of_signals_to_workers() -> None:
    """Whatever a worker is doing, its end is an error within seconds, or it does not mind."""
    start = time.monotonic()
    names = {result.member for result in trained(lambda *_: None)}
    duration, chance = time.monotonic() - start, random.Random(0)
    outcomes: Counter[str] = Counter()
    for attempt in range(30):
        signalled: list[float] = []

        def disturb(number: signal.Signals, moment: float, at: list[float] = signalled) -> None:
            time.sleep(moment)
            at.append(time.monotonic())
            with suppress(ProcessLookupError, IndexError):
                os.kill(chance.choice(workers()).pid, number)

        number = (signal.SIGKILL, signal.SIGINT, signal.SIGHUP)[attempt % 3]
        arguments = (number, chance.uniform(0, duration))
        thread = threading.Thread(target=disturb, args=arguments)
        thread.start()
        outcome = "error"
        with suppress(TrainingError):
            assert {result.member for result in trained(lambda *_: None)} == names
            outcome = "trained"
        ended = time.monotonic()
        thread.join()
        assert outcome == "trained" or ended - signalled[0] < 20
        assert workers() == []
        outcomes[f"{number.name}: {outcome}"] += 1
    logging.getLogger(__name__).info("%s", dict(sorted(outcomes.items())))
    assert outcomes["SIGKILL: error"]  # some of them came before a training's end
    assert outcomes["SIGINT: error"] == 0, "Ctrl-C is the parent's to handle"
