"""The progress of a training, as a terminal shows it."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.runner import QUICK, command, train

# What a pipeline reports of 30 members, 20 of them at a time, to a display.
REPORTED = """
import time
from digit_recognizer.commands.console import TrainingDisplay
from digit_recognizer.training.members import EpochMetrics, Member
members = [Member(fold, 0) for fold in range(30)]
display = TrainingDisplay()
display.begin(members[1:], members[:1], 2, 20)
time.sleep(0.3)
for member in members[1:6]:
    for number in (1, 2):
        metrics = EpochMetrics(number, 1e-3, 0.5, 0.9, 0.4, 0.99 + member.fold / 1000, 60.0, 1.0)
        display.epoch(member, metrics)
    display.finished(member)
display.step(members[6], 1.25)
time.sleep(1.3)
display.end()
"""


def on_a_terminal(words: list[str], stream: str = "stderr") -> str:
    """What the program writes to one of its streams when that is a terminal of 80x24."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    process = subprocess.Popen(words, env=environment, **streams)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(parts).decode())


@pytest.fixture(scope="module")
def frames() -> list[list[str]]:
    """The screens that `REPORTED` draws, as lines."""
    shown = on_a_terminal([sys.executable, "-c", REPORTED]).replace("\r", "")
    return [("x" + frame).splitlines() for frame in re.split(r"(?=\d+/30 members done)", shown)[1:]]


def test_a_terminal_shows_members_before_their_first_step(frames: list[list[str]]) -> None:
    assert frames[0][0].endswith("1/30 members done, 9 waiting")
    assert re.match(r"fold1-seed0 +starting ", frames[0][2])
    assert re.match(r"\d+ s elapsed, time left: unknown yet", frames[0][-1])


def test_finished_members_are_one_line_and_running_ones_a_bar(frames: list[list[str]]) -> None:
    first = frames[-1][0]
    assert first.endswith("6/30 members done (val accuracy 0.9910 to 0.9950), 4 waiting")
    assert re.match(r"fold6-seed0 +2/2 +━+", frames[-1][2])


def test_the_clock_and_the_time_left_move_without_news(frames: list[list[str]]) -> None:
    assert len({frame[-1] for frame in frames if "about" in "".join(frame)}) >= 2


def test_more_members_than_a_screen_has_lines_are_cut(frames: list[list[str]]) -> None:
    assert all(len(frame) <= 24 for frame in frames)


def test_training_that_is_cut_short_says_what_is_kept_and_what_is_lost() -> None:
    shown = on_a_terminal([sys.executable, "-c", REPORTED])
    assert "6 of 30 members kept, lost: 1.2 epochs of fold6-seed0" in shown


@pytest.mark.slow
def test_a_training_on_a_terminal_is_shown_to_its_end(place: Path) -> None:
    words = command("train", place, "--data", "small", "--run", "live", *QUICK)
    shown = on_a_terminal(words)
    assert "2/2 members done" in shown
    assert re.search(r"fold1-seed0 +starting ", shown)
    assert re.search(r"fold1-seed0 +3/3 ", shown)


def test_without_a_terminal_each_epoch_is_a_plain_line(place: Path) -> None:
    lines = train(place, "plain").stderr.splitlines()
    assert lines[0] == "training 2 members of 3 epochs"
    assert len(lines) == 1 + 2 * 3
    assert "\x1b" not in "".join(lines)
    for line in lines[1:]:
        assert re.fullmatch(
            r"fold[01]-seed0  epoch   [123]/3  train loss \d\.\d{4}  val loss \d\.\d{4}"
            r"  val accuracy [01]\.\d{4}  about (\d+ min )?\d+ s left",
            line,
        )


PRINTED = """
from pathlib import Path
from digit_recognizer.commands.console import columns, echo
echo(f"error: {Path.cwd()}/data/x.csv: " + "has a header and no rows, " * 5)
echo("  label  " + "of a long value " * 8)
echo(columns([["run", "a" * 40, "b" * 40, "c"], ["one", "1", "2", "3"]]))
"""


def test_a_terminal_gets_lines_that_fit_and_paths_from_the_current_folder() -> None:
    shown = on_a_terminal([sys.executable, "-c", PRINTED], stream="stdout")
    lines = shown.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80
    assert (
        lines[0] == "error: data/x.csv: has a header and no rows, has a header and no rows, has a"
    )
    assert lines[1].startswith("header and no rows")
    (second,) = [number for number, line in enumerate(lines) if line.startswith("  label  ")]
    assert re.match(r" {9}\S", lines[second + 1])
    assert [line.split() for line in lines[-5:]] == [
        ["run", "a" * 40],
        ["one", "1"],
        [],
        ["run", "b" * 40, "c"],
        ["one", "2", "3"],
    ]


def test_a_pipe_gets_each_line_whole() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTED], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].count("has a header and no rows") == 5
    assert lines[2].split() == ["run", "a" * 40, "b" * 40, "c"]
