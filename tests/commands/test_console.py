"""The progress of a training, as a terminal shows it."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from support.runner import QUICK, command, train


def on_a_terminal(words: list[str]) -> str:
    """What the program writes to its standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
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


@pytest.mark.slow
def test_a_terminal_shows_a_live_table(place: Path) -> None:
    words = command("train", place, "--data", "small", "--run", "live", *QUICK)
    shown = on_a_terminal(words)
    assert "2/2 members done" in shown
    for column in ("member", "epoch", "train loss", "val loss", "val accuracy"):
        assert column in shown
    assert re.search(r"fold1-seed0 .* 3/3 ", shown)


def test_without_a_terminal_each_epoch_is_a_plain_line(place: Path) -> None:
    lines = train(place, "plain").stderr.splitlines()
    assert lines[0] == "training 2 members of 3 epochs"
    assert len(lines) == 1 + 2 * 3
    assert "\x1b" not in "".join(lines)
    for line in lines[1:]:
        assert re.fullmatch(
            r"fold[01]-seed0  epoch   [123]/3  train loss \d\.\d{4}  val loss \d\.\d{4}"
            r"  val accuracy [01]\.\d{4}  (about [\d.]+ (s|min) left)",
            line,
        )
