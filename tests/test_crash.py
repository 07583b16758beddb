"""Whatever kills a run, the same command ends it with the same bytes."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.runner import QUICK, command, outcome, train, trained

from digit_recognizer.runs.run import Run


def start(place: Path, name: str) -> subprocess.Popen[str]:
    words = command("train", place, "--data", "small", "--run", name, *QUICK)
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def in_group(leader: int) -> list[int]:
    """Processes of the group that `leader` began, itself apart, and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != leader:
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == leader and state != "Z":
                found.append(int(entry.name))
    return found


# Signals its own group right after the first call of a method, whatever else the machine does.
SIGNALLED = """
import os, sys
from importlib import import_module
from digit_recognizer.cli import main

module, owner, method = sys.argv[1].rsplit(".", 2)
owner = getattr(import_module(module), owner)
original = getattr(owner, method)

def first(*arguments):
    setattr(owner, method, original)
    original(*arguments)
    os.killpg(0, int(sys.argv[2]))

setattr(owner, method, first)
sys.exit(main(sys.argv[3:]))
"""


def signalled(
    place: Path, name: str, number: signal.Signals, after: str
) -> subprocess.CompletedProcess[str]:
    """Train until the first call of the method `after`."""
    words = command("train", place, "--data", "small", "--run", name, *QUICK)[3:]
    program = [sys.executable, "-c", SIGNALLED, f"digit_recognizer.{after}", str(int(number))]
    return subprocess.run(
        [*program, *words], capture_output=True, text=True, start_new_session=True
    )


def assert_ends_as_whole(place: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Repeat the command: the run ends with the bytes of one that nothing interrupted."""
    again = trained(place, name)
    assert outcome(place / "submissions" / name) == outcome(place / "submissions" / "whole")
    return again


def killed_inside_a_member(place: Path, name: str) -> Path:
    """Kill a run after a first epoch; return the checkpoint that it left."""
    signalled(place, name, signal.SIGKILL, "runs.run.Run.write_checkpoint")
    (checkpoint,) = (place / "submissions" / name / "members").glob("*/checkpoint.npz")
    return checkpoint


def test_a_run_that_is_killed_inside_a_member_goes_on_from_its_last_epoch(place: Path) -> None:
    path = killed_inside_a_member(place, "inside")
    again = assert_ends_as_whole(place, "inside")
    assert f"{path.parent.name}  epoch   1/3" not in again.stderr
    assert f"{path.parent.name}  epoch   3/3" in again.stderr
    assert not path.exists()


def test_a_damaged_checkpoint_is_one_line(place: Path) -> None:
    path = killed_inside_a_member(place, "damaged")
    path.write_bytes(path.read_bytes()[:100_000])
    again = train(place, "damaged")
    assert again.returncode == 1
    line = r"error: .*/checkpoint.npz: is damaged \(.*\): delete its folder.*\n"
    assert re.fullmatch(line, again.stderr)


@pytest.mark.slow
def test_workers_do_not_outlive_a_parent_that_is_killed_alone(place: Path) -> None:
    process = start(place, "parent")
    assert process.stderr is not None
    assert any("epoch   1/" in line for line in process.stderr)
    commands = [Path(f"/proc/{pid}/cmdline") for pid in in_group(process.pid)]
    assert any(path.exists() and b"spawn_main" in path.read_bytes() for path in commands)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert in_group(process.pid) == []
    assert_ends_as_whole(place, "parent")


def test_ctrl_c_keeps_the_member_that_is_done(place: Path) -> None:
    after = "commands.training_display.TrainingDisplay.finished"
    stopped = signalled(place, "ctrl-c", signal.SIGINT, after)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    line = "interrupted: repeat the command; a training continues from what it kept"
    assert line in stopped.stderr
    assert re.search(r"\nkept: 1 of 2 members.*; epochs lost: ", stopped.stderr)
    run = Run(place / "submissions" / "ctrl-c")
    (kept,) = run.finished_members()
    stamp = run.predictions_path(kept).stat().st_mtime_ns
    assert_ends_as_whole(place, "ctrl-c")
    assert run.predictions_path(kept).stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_full_disk_stops_with_a_line_and_keeps_what_was_done(place: Path) -> None:
    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19))

    words = command("train", place, "--data", "small", "--run", "full", *QUICK)
    full = subprocess.run(words, capture_output=True, text=True, preexec_fn=no_large_files)
    assert full.returncode == 1
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "checkpoint.npz: cannot be written (File too large): make room" in last
    assert "Traceback" not in full.stderr
    assert not list((place / "submissions" / "full").rglob(".tmp-*"))
    assert_ends_as_whole(place, "full")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_marathon_of_kills(place: Path) -> None:
    chance = random.Random(0)
    for attempt in range(6):
        name = f"marathon{attempt}"
        for _ in range(3):
            process = start(place, name)
            time.sleep(chance.uniform(0.5, 9))
            if chance.random() < 0.5:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert_ends_as_whole(place, name)
