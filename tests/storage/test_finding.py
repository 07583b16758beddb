"""A run is found by its name, or as the one that was finished last."""

import os
from pathlib import Path

import pytest

from digit_recognizer.storage.files import write_json
from digit_recognizer.storage.finding import find_run, latest_run
from digit_recognizer.storage.runs import Run, RunError


def test_the_latest_run_is_the_one_finished_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no finished run: run 'make train' first"):
        latest_run(tmp_path)
    for name, time in (("b", 300), ("a", 200), ("c", 100)):
        write_json(Run(tmp_path / name).recipe_path, {})
        write_json(Run(tmp_path / name).cv_path, {})
        os.utime(Run(tmp_path / name).cv_path, (time, time))
    write_json(Run(tmp_path / "unfinished").recipe_path, {})
    assert latest_run(tmp_path).name == "b"
    assert find_run(tmp_path, None).name == "b"
    assert find_run(tmp_path, "a").name == "a"


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        find_run(tmp_path, "nothing")
    assert str(caught.value) == (
        f"{tmp_path / 'nothing'}: there is no such run: 'make train RUN=nothing' makes it"
    )
