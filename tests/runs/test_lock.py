"""A run is written by one process at a time, and goes on only as what it was begun."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.small import contents
from support.written_runs import ENVIRONMENT

from digit_recognizer.errors import RunError
from digit_recognizer.runs.lock import begin_run
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.recipe import Recipe

REQUEST = Request("small", "default", Recipe(epochs=3))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "mine")


def test_a_run_goes_on_under_the_same_request(run: Run) -> None:
    with begin_run(run, REQUEST, ENVIRONMENT):
        pass
    (run.run_dir / ".tmp-left").touch()
    with begin_run(run, REQUEST, replace(ENVIRONMENT, commit="def")):
        pass
    assert run.request() == REQUEST
    assert not (run.run_dir / ".tmp-left").exists()


@pytest.mark.parametrize(
    ("epochs", "digest", "complaint"),
    [
        (5, "1", "was begun with epochs 3, not 5: give another RUN, or delete the folder"),
        (3, "2", "the data changed since this run began: give another RUN, or delete the folder"),
    ],
)
def test_another_request_or_other_data_are_refused(
    epochs: int, digest: str, complaint: str, run: Run
) -> None:
    with begin_run(run, REQUEST, ENVIRONMENT):
        pass
    before = contents(run.run_dir)
    asked = Request("small", "default", Recipe(epochs=epochs))
    other = replace(ENVIRONMENT, data={"train.csv": digest})
    with pytest.raises(RunError) as caught, begin_run(run, asked, other):
        pass
    assert str(caught.value) == f"{run.run_dir}: {complaint}"
    assert contents(run.run_dir) == before
    with begin_run(run, REQUEST, ENVIRONMENT):
        pass  # the lock was given back


HOLD = """
import sys
from pathlib import Path
from digit_recognizer.runs.lock import lock_run
from digit_recognizer.runs.run import Run
lock = lock_run(Run(Path(sys.argv[1])))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_turned_away_until_the_first_ends_even_by_a_kill(run: Run) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(RunError) as caught, begin_run(run, REQUEST, ENVIRONMENT):
            pass
        assert str(caught.value) == (
            f"{run.run_dir}: another process is working on this run:"
            " wait for it, or give another RUN"
        )
        holder.send_signal(signal.SIGKILL)
    with begin_run(run, REQUEST, ENVIRONMENT):
        pass
