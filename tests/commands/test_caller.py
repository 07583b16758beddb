"""Where the folders are, and how messages name commands, for those who do not use make."""

import subprocess
import sys
from pathlib import Path

import pytest

from digit_recognizer.commands.caller import as_called

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _without_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIGIT_RECOGNIZER_MAKE", raising=False)


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
    monkeypatch.setattr(sys, "argv", ["/usr/bin/digit-recognizer"])
    assert as_called(message) == called
    monkeypatch.setenv("DIGIT_RECOGNIZER_MAKE", "1")
    assert as_called(message) == message


def looked_in(here: Path, *words: str) -> Path:
    """The folder in which a command that was called in `here` looks for runs."""
    done = subprocess.run(
        [sys.executable, "-m", "digit_recognizer", "cv", *words],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    folder, _, advice = done.stderr.removeprefix("error: ").partition(":")
    assert advice.strip().endswith("run 'python -m digit_recognizer train' first")
    return (here / folder).resolve()  # shown from the current folder


def test_the_folders_are_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked_in(tmp_path) == tmp_path / "submissions"
    module = tmp_path / "clone" / "src" / "digit_recognizer" / "cli.py"
    module.parent.mkdir(parents=True)
    module.touch()
    (tmp_path / "clone" / "tests").mkdir()
    assert looked_in(tmp_path / "clone" / "tests") == tmp_path / "clone" / "submissions"
    monkeypatch.setenv("DIGIT_RECOGNIZER_SUBMISSIONS", str(tmp_path / "mine"))
    assert looked_in(tmp_path) == tmp_path / "mine"
    assert looked_in(tmp_path, "--data-dir", "x") == tmp_path / "mine"
    assert looked_in(tmp_path, "--submissions-dir", "theirs") == tmp_path / "theirs"
    monkeypatch.setenv("DIGIT_RECOGNIZER_SUBMISSIONS", "")
    assert looked_in(tmp_path) == tmp_path / "submissions"


def test_the_variable_for_datasets_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGIT_RECOGNIZER_DATA", str(tmp_path / "digits"))
    words = [sys.executable, "-m", "digit_recognizer", "download", "--source", "sample"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("digits/sample: is in place")
