"""Folders and disks that cannot be used as they are: one line, from the one place in `cli`."""

import errno
import os
from pathlib import Path

import pytest

from digit_recognizer import cli


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ")


@pytest.mark.parametrize("command", ["scores", "runs", "cv"])
def test_a_submissions_folder_that_is_a_file_is_named(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "submissions"
    path.write_text("not a folder")
    line = error_of(capsys, command, "--submissions-dir", str(path))
    assert line.startswith(str(path))
    assert line.endswith(": give another path, fix the permissions, or make room\n")


def test_a_name_that_is_too_long_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of(capsys, "scores", "--submissions-dir", str(tmp_path / ("n" * 5000)))
    assert ": File name too long: " in line or os.name == "nt"  # which has other words
    assert len(line) < 500


def test_an_error_of_the_disk_is_a_line_and_a_bug_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_with(error: OSError) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(cli, "build_app", lambda: fail)

    for number in (errno.ENOSPC, errno.EROFS):
        fail_with(OSError(number, os.strerror(number)))
        assert error_of(capsys, "runs").startswith(f"the disk: {os.strerror(number)}: ")
    fail_with(PermissionError(errno.EACCES, "Permission denied", "a\x1bb"))
    assert error_of(capsys, "runs").startswith("a\\x1bb: Permission denied: ")
    fail_with(OSError("a bug"))
    with pytest.raises(OSError, match="a bug"):
        cli.main(["runs"])
