"""A run's folder says what is done, and is never half of anything."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from storage.small import contents

from digit_recognizer.storage.files import write_json
from digit_recognizer.storage.opening import open_run
from digit_recognizer.storage.runs import (
    Predictions,
    Run,
    RunError,
    checked_name,
    expected_members,
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


@pytest.mark.parametrize("content", [None, "", "epoch,seconds\n", "epoch,seconds\n1,soon\n"])
def test_a_history_that_is_missing_empty_or_damaged_is_named(run: Run, content: str | None) -> None:
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    path = run.history_path("fold0-seed0")
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(RunError) as caught:
        run.read_history("fold0-seed0")
    assert str(caught.value) == (
        f"{path}: is damaged: delete its folder and run 'make train' again"
    )


def test_an_unfinished_run_says_which_command_ends_it(run: Run) -> None:
    write_json(run.recipe_path, {"dataset": "mnist", "recipe": "quick"})
    assert str(run.unfinished()) == (
        f"{run.run_dir}: is not finished: run 'make train DATA=mnist RECIPE=quick RUN=mine' with"
        " the settings that it was begun with"
    )
    write_json(run.recipe_path, {"dataset": "mnist", "recipe": "blend", "blend_of": ["a", "b"]})
    assert str(run.unfinished()) == (
        f"{run.run_dir}: is not finished: run 'make blend RUNS=\"a b\" RUN=mine'"
    )


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


def test_a_run_is_done_when_all_its_files_are_there(run: Run) -> None:
    open_run(run, REQUEST, ENVIRONMENT).release()
    for path in (run.oof_path, run.submission_path, run.cv_path):
        assert not run.is_done()
        path.write_text("{}")
    assert run.is_done()
    run.submission_path.unlink()
    assert not run.is_done()


def test_sittings_add_up(run: Run) -> None:
    open_run(run, REQUEST, ENVIRONMENT).release()
    assert run.seconds() == 0
    run.add_seconds(1.5)
    run.add_seconds(2)
    assert run.seconds() == 3.5


def test_a_folder_that_is_no_run_has_no_request(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing: is not a run: 'make train' makes one"):
        Run(tmp_path / "nothing").request()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\nb"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="give a plain name, without slashes or a leading dot"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "digit-recognizer-default", "mit Leerzeichen", "größer"])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert checked_name(name) == name


def test_a_blend_is_made_of_its_siblings_and_any_other_run_of_itself(tmp_path: Path) -> None:
    blend = Run(tmp_path / "blend")
    open_run(blend, {"recipe": "blend", "blend_of": ["a", "b"]}, ENVIRONMENT).release()
    assert blend.parts() == [Run(tmp_path / "a"), Run(tmp_path / "b")]
    plain = Run(tmp_path / "a")
    open_run(plain, REQUEST, ENVIRONMENT).release()
    assert plain.parts() == [plain]


def test_a_blend_cannot_reach_out_of_the_folder(tmp_path: Path) -> None:
    blend = Run(tmp_path / "blend")
    open_run(blend, {"recipe": "blend", "blend_of": ["../a", "b"]}, ENVIRONMENT).release()
    with pytest.raises(RunError, match="give a plain name"):
        blend.parts()


@pytest.mark.parametrize(
    ("folds", "names"),
    [
        (None, ["fold0-seed0", "fold1-seed0", "fold0-seed1", "fold1-seed1"]),
        ("all", ["fold0-seed0", "fold1-seed0", "fold0-seed1", "fold1-seed1"]),
        ("1", ["fold1-seed0", "fold1-seed1"]),
    ],
)
def test_a_run_is_expected_to_have_a_member_for_each_chosen_fold_and_seed(
    folds: str | None, names: list[str]
) -> None:
    request = {"n_splits": 2, "n_seeds": 2} | ({"folds": folds} if folds else {})
    assert expected_members(request) == names


def test_a_run_knows_which_members_it_lacks(run: Run) -> None:
    open_run(run, {"n_splits": 2, "n_seeds": 1}, ENVIRONMENT).release()
    run.write_member("fold1-seed0", WEIGHTS, predictions(), HISTORY)
    assert run.missing_members() == ["fold0-seed0"]


def test_the_digest_of_predictions_changes_with_any_of_them(run: Run) -> None:
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    before = run.predictions_digest()
    run.write_member("fold0-seed0", WEIGHTS, predictions(), HISTORY)
    assert run.predictions_digest() == before
    run.write_member("fold1-seed0", WEIGHTS, predictions(), HISTORY)
    assert run.predictions_digest() != before
