"""A run's folder says what is done, and is never half of anything."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from storage.small import contents

from digit_recognizer.storage.runs import (
    Predictions,
    Run,
    RunError,
    checked_name,
    finished_run,
    latest_run,
    room_for,
    write_oof,
)

REQUEST = {"recipe": "default", "epochs": 3}
ENVIRONMENT = {"commit": "abc", "data": {"train.csv": "1"}}
WEIGHTS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
HISTORY = [{"epoch": 1, "lr": 0.1, "val_accuracy": 0.9}, {"epoch": 2, "lr": 0, "val_accuracy": 1}]


def predictions() -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        np.array([3, 1, 4]),
        rng.normal(size=(3, 10)).astype(np.float32),
        rng.normal(size=(5, 10)).astype(np.float32),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "mine")


def finish(run: Run) -> Run:
    run.open(REQUEST, ENVIRONMENT).release()
    for path in (run.oof_path, run.submission_path, run.cv_path):
        path.write_text("{}")
    return run


def test_a_member_comes_back_as_it_was_written(run: Run) -> None:
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    back = run.read_member("fold0-seed0")
    for name, value in vars(predictions()).items():
        np.testing.assert_array_equal(getattr(back, name), value)
        assert getattr(back, name).dtype == value.dtype
    np.testing.assert_array_equal(
        load_file(run.weights_path("fold0-seed0"))["layer.weight"], WEIGHTS["layer.weight"]
    )
    assert run.read_history("fold0-seed0") == HISTORY
    assert run.member_names() == ["fold0-seed0"]


def test_weights_that_lie_in_memory_channels_last_come_back_in_order(run: Run) -> None:
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    last = np.ascontiguousarray(plain.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    run.write_member("fold0-seed0", {"w": last, "n": np.array(7)}, predictions(), HISTORY)
    back = load_file(run.weights_path("fold0-seed0"))
    np.testing.assert_array_equal(back["w"], plain)
    assert back["n"].shape == ()


def test_a_member_is_done_once_its_predictions_are_there(run: Run) -> None:
    run.write_member("fold1-seed0", WEIGHTS, predictions(), HISTORY)
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    assert run.member_names() == ["fold0-seed0", "fold1-seed0"]
    run.predictions_path("fold0-seed0").unlink()
    assert run.member_names() == ["fold1-seed0"]


def test_the_same_member_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Run(tmp_path / name).write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("damage", ["cut", "emptied", "garbled", "gone"])
def test_damaged_predictions_are_named(damage: str, run: Run) -> None:
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    path = run.predictions_path("fold0-seed0")
    content = path.read_bytes()
    if damage == "garbled":
        path.write_bytes(content[:200] + bytes(b ^ 255 for b in content[200:240]) + content[240:])
    elif damage == "gone":
        path.unlink()
    else:
        os.truncate(path, 0 if damage == "emptied" else len(content) // 2)
    with pytest.raises(RunError) as caught:
        run.read_member("fold0-seed0")
    assert str(caught.value) == (
        f"{path}: is damaged: delete its folder and run 'make train' again"
    )


def test_a_run_goes_on_under_the_same_request(run: Run) -> None:
    run.open(REQUEST, ENVIRONMENT).release()
    (run.run_dir / ".tmp-left").touch()
    run.open(REQUEST, {**ENVIRONMENT, "commit": "def"}).release()
    assert run.request() == REQUEST
    assert not (run.run_dir / ".tmp-left").exists()


@pytest.mark.parametrize(
    ("request_", "environment", "complaint"),
    [
        (
            {**REQUEST, "epochs": 5},
            ENVIRONMENT,
            "was begun with epochs 3, not 5: give another RUN, or delete the folder",
        ),
        (
            REQUEST,
            {**ENVIRONMENT, "data": {"train.csv": "2"}},
            "the data changed since this run began: give another RUN, or delete the folder",
        ),
    ],
)
def test_another_request_or_other_data_are_refused(
    request_: dict[str, Any], environment: dict[str, Any], complaint: str, run: Run
) -> None:
    run.open(REQUEST, ENVIRONMENT).release()
    before = contents(run.run_dir)
    with pytest.raises(RunError) as caught:
        run.open(request_, environment)
    assert str(caught.value) == f"{run.run_dir}: {complaint}"
    assert contents(run.run_dir) == before
    run.open(REQUEST, ENVIRONMENT).release()  # the lock was given back


HOLD = """
import sys
from pathlib import Path
from digit_recognizer.storage.runs import Run
lock = Run(Path(sys.argv[1])).lock()
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
        with pytest.raises(RunError) as caught:
            run.open(REQUEST, ENVIRONMENT)
        assert str(caught.value) == (
            f"{run.run_dir}: another process is working on this run:"
            " wait for it, or give another RUN"
        )
        holder.send_signal(signal.SIGKILL)
    run.open(REQUEST, ENVIRONMENT).release()


def test_a_run_is_done_when_all_its_files_are_there(run: Run) -> None:
    finish(run)
    assert run.is_done()
    run.submission_path.unlink()
    assert not run.is_done()


def test_sittings_add_up(run: Run) -> None:
    run.open(REQUEST, ENVIRONMENT).release()
    assert run.seconds() == 0
    run.add_seconds(1.5)
    run.add_seconds(2)
    assert run.seconds() == 3.5


def test_the_latest_run_is_the_one_finished_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no finished run: run 'make train' first"):
        latest_run(tmp_path)
    for name, time in (("b", 300), ("a", 200), ("c", 100)):
        os.utime(finish(Run(tmp_path / name)).cv_path, (time, time))
    Run(tmp_path / "unfinished").open(REQUEST, ENVIRONMENT).release()
    assert latest_run(tmp_path).name == "b"
    assert finished_run(tmp_path, None).name == "b"
    assert finished_run(tmp_path, "a").name == "a"


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        finished_run(tmp_path, "nothing")
    assert str(caught.value) == (
        f"{tmp_path / 'nothing'}: there is no such run: 'make train RUN=nothing' makes it"
    )
    with pytest.raises(RunError, match="nothing: is not a run: 'make train' makes one"):
        Run(tmp_path / "nothing").request()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\nb"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="give a plain name, without slashes or a leading dot"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "digit-recognizer-default", "mit Leerzeichen", "größer"])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert checked_name(name) == name


def test_out_of_fold_rows_are_written_for_people_and_programs(tmp_path: Path) -> None:
    proba = np.full((2, 10), 0.05)
    proba[0, 3] = proba[1, 9] = 0.55
    write_oof(tmp_path / "oof.csv", np.arange(2), np.array([3, 4]), np.array([0, 1]), proba)
    header, first, second = (tmp_path / "oof.csv").read_text().splitlines()
    assert header == "row,label,fold,predicted," + ",".join(f"proba_{d}" for d in range(10))
    small = "0.050000"
    assert first == ",".join(["0,3,0,3", *[small] * 3, "0.550000", *[small] * 6])
    assert second == ",".join(["1,4,1,9", *[small] * 9, "0.550000"])


def test_a_disk_without_room_is_noticed_before_the_training(tmp_path: Path) -> None:
    room_for(tmp_path, 1)
    with pytest.raises(RunError, match=r"the disk lacks \d+ MiB for this run: make room"):
        room_for(tmp_path, 2**60)
