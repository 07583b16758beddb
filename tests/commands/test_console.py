"""What is printed: commands as they are called, lines that fit, the progress of a training."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from digit_recognizer.commands.console import as_called
from digit_recognizer.commands.options import default_folder

# What a pipeline reports of 5 members to a display.
REPORTED = """
import time
from digit_recognizer.commands.training_display import TrainingDisplay
from digit_recognizer.training.members import EpochMetrics, Member
members = [Member(fold, 0) for fold in range(5)]
display = TrainingDisplay()
with display.training(5, 1, 2, {members[3]: 1}):
    for member in members[1:3]:
        display.step(member, 0.0)
        for number in (1, 2):
            time.sleep(0.5)
            metrics = EpochMetrics(number, 1e-3, 0.5, 0.9, 0.4, 0.99 + member.fold / 1000, 60.0, 1.0)
            display.epoch(member, metrics)
        display.finished(member)
    display.step(members[3], 1.0)  # goes on from a checkpoint
    display.step(members[3], 1.25)
    time.sleep(2)
"""
# Without a terminal nothing is drawn meanwhile: there, each sleep is a minute of another clock.
FAKE_CLOCK = """
import rich.console
class time:
    now = 0.0
    def sleep(seconds):
        time.now += 60
rich.console.monotonic = lambda: time.now
"""
WITHOUT_A_TERMINAL = REPORTED.replace("import time\n", FAKE_CLOCK)


def on_a_terminal(script: str, stream: str) -> str:
    """What a script writes to one of its streams when that is a terminal of 80x24."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, **streams)
    os.close(theirs)
    parts = []
    with suppress(OSError):  # which Linux raises when the other end is closed
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    shown = b"".join(parts).decode()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "")


def test_a_terminal_shows_bars_with_a_clock_and_a_line_for_each_member_that_is_done() -> None:
    shown = on_a_terminal(REPORTED, "stderr")
    assert "training 5 members of 2 epochs (kept: 1 member, 1 epoch)" in shown
    totals = re.findall(r"3/5 members +4/7 [━╸╺ ]+ 0:00:(\d\d) 0:00:\d\d", shown)
    assert len(set(totals)) >= 2
    assert re.search(r"fold3-seed0 +1/2 +━", shown)
    assert re.search(r"fold2-seed0 +1/2 [━╸╺ ]+ loss 0.5000  val accuracy 0.9920 ", shown)
    done = re.findall(r"(fold\d)-seed0  epoch   2/2  loss 0.5000  val accuracy 0.99\d0", shown)
    assert done == ["fold1", "fold2"]
    last = "kept: 3 of 5 members, 1 epoch of fold3-seed0; epochs lost: 0.2 of fold3-seed0"
    assert shown.splitlines()[-1] == last


def test_epochs_of_members_that_were_not_resumed_are_kept_too() -> None:
    script = WITHOUT_A_TERMINAL.replace("{members[3]: 1}", "{members[3]: 1, members[4]: 3}")
    errors = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr
    assert "1 epoch of fold3-seed0, 3 epochs of members not resumed yet; epochs lost" in errors


def test_without_a_terminal_each_epoch_is_a_plain_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_TERMINAL], capture_output=True, text=True
    )
    first, *lines, last = done.stderr.splitlines()
    assert first == "training 5 members of 2 epochs (kept: 1 member, 1 epoch)"
    assert last.startswith("kept: 3 of 5 members, 1 epoch of fold3-seed0; epochs lost: 0.2 of")
    minutes = [f"about {minutes} min 00 s left" for minutes in (5, 4, 3)]
    for line, left in zip(lines, ["time left: unknown yet", *minutes], strict=True):
        assert re.fullmatch(
            r"fold[12]-seed0  epoch   [12]/2  train loss 0\.5000  val loss 0\.4000"
            rf"  val accuracy 0\.99[12]0  {left}",
            line,
        )


PRINTED = """
from pathlib import Path
from digit_recognizer.commands.console import format_columns, echo
echo(f"error: {Path.cwd()}/data/x.csv: " + "has a header and no rows, " * 5)
echo("  label  " + "of a long value " * 8)
echo(format_columns([["run", "a" * 40, "b" * 40, "c"], ["one", "1", "2", "3"]]))
"""


def test_a_terminal_gets_lines_that_fit_and_paths_from_the_current_folder() -> None:
    lines = on_a_terminal(PRINTED, "stdout").splitlines()
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


@pytest.mark.parametrize(
    ("message", "called"),
    [
        ("'make train' makes one", "'digit-recognizer train' makes one"),
        (
            "'make blend RUNS=\"a b\" RUN=d' with the same settings",
            "'digit-recognizer blend --runs \"a b\" --run d' with the same settings",
        ),
        (
            "'make kernel FORCE=1', then 'make train RECIPE=record'",
            "'digit-recognizer kernel --force', then 'digit-recognizer train --recipe record'",
        ),
        ("run 'make setup'", "run 'make setup'"),
        ("give YES=1", "give --yes"),
        ("give another RUN, or delete it", "give another --run, or delete it"),
        ("error: RUNS: give two", "error: --runs: give two"),
        ('give another, as in ARGS="--port 0"', "give another, as in --port 0"),
        ("  message         my RUN=5 is DATA", "  message         my RUN=5 is DATA"),
        ("make room", "make room"),
    ],
)
def test_messages_name_commands_and_options_as_they_are_called(
    message: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert as_called(message) == message
    monkeypatch.delenv("DIGIT_RECOGNIZER_MAKE")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/digit-recognizer"])
    assert as_called(message) == called


def test_the_folders_are_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "clone" / "src" / "digit_recognizer" / "cli.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.chdir(tmp_path)
    assert default_folder("data") == tmp_path / "data"
    monkeypatch.chdir(module.parent)
    assert default_folder("data") == tmp_path / "clone" / "data"
    monkeypatch.setenv("DIGIT_RECOGNIZER_DATA", str(tmp_path / "mine"))
    assert default_folder("data") == tmp_path / "mine"
    assert default_folder("submissions") == tmp_path / "clone" / "submissions"
    monkeypatch.setenv("DIGIT_RECOGNIZER_DATA", "~")
    assert default_folder("data") == Path.home()
    monkeypatch.setenv("DIGIT_RECOGNIZER_DATA", "")
    assert default_folder("data") == tmp_path / "clone" / "data"


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    runs = f"'{sys.executable}' -m digit_recognizer runs --submissions-dir '{tmp_path}'"
    for closed in (">&-", "<&-", ">&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{runs} {closed}"], capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert done.returncode == 0
