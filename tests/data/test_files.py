"""A file is there whole, or as it was before."""

import os
from pathlib import Path

import pytest
from support.complaint import complaint
from support.small import no_file_above

from digit_recognizer.data.files import atomic_write, read_json, remove_leftovers, write_text
from digit_recognizer.errors import FileError


def test_a_new_file_has_its_content_and_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "inside" / "file.txt"
    write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"new, half ")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_the_system_refuses_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with no_file_above(1000):
        line = complaint(FileError, write_text, path, "x" * 5000)
    assert line == (
        f"{path}: cannot be written (File too large): make room or fix the permissions,"
        " then repeat the command"
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read (JSONDecodeError)"),
        (b'{"a": NaN}', "cannot be read (ValueError)"),
        (b"\xff\xfe", "cannot be read (UnicodeDecodeError)"),
        (b"[1, 2]", "is not a JSON object"),
        (None, "cannot be read (FileNotFoundError)"),
    ],
)
def test_damaged_json_is_named(content: bytes | None, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    assert complaint(FileError, read_json, path) == f"{path}: {fault}"


def test_only_the_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/.tmp-1", ".tmp-2", "a/kept", ".hidden"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    left = {os.path.relpath(path, tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a/kept", ".hidden"}
