"""A run's folder says what is done, is never half of anything, and is written by one process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small import contents
from support.written_runs import ENVIRONMENT

from digit_recognizer.data.files import write_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.runs import environment as environment_module
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run, find_run, new_run, validate_name
from digit_recognizer.training.members import EpochMetrics, Member, Predictions, TrainedMember
from digit_recognizer.training.recipe import Recipe

FIRST, SECOND = Member(0, 0), Member(1, 0)
HISTORY = (
    EpochMetrics(1, 0.1, 0.5, 0.9, 0.4, 0.91, 1 / 3, 0.1),
    EpochMetrics(2, 0.0, 1e-7, 1.0, 0.3, 0.95, 2.0, 0.1),
)


PREDICTIONS = Predictions(
    np.array([3, 1, 4]),
    np.linspace(-9, 9, 30, dtype=np.float32).reshape(3, 10),
    np.linspace(-5, 5, 50, dtype=np.float32).reshape(5, 10),
)


def trained(member: Member) -> TrainedMember:
    """A member with weights that lie in memory channels last."""
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    last = np.ascontiguousarray(plain.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return TrainedMember(member, {"w": last, "n": np.array(7)}, PREDICTIONS, HISTORY)


def request(**settings: object) -> Request:
    return Request("small", "default", Recipe(**{"n_splits": 2, "epochs": 2, **settings}))  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two members that was begun."""
    run = Run(tmp_path / "mine")
    with run.begin(request(), ENVIRONMENT):
        pass
    return run


def test_a_member_comes_back_as_it_was_written(run: Run) -> None:
    run.write_member(trained(FIRST))
    back = run.read_predictions(FIRST)
    for name, value in vars(PREDICTIONS).items():
        np.testing.assert_array_equal(getattr(back, name), value)
        assert getattr(back, name).dtype == value.dtype
    weights = run.read_weights(FIRST)
    np.testing.assert_array_equal(weights["w"].ravel(), np.arange(24))
    assert weights["n"].shape == ()
    assert run.read_history(FIRST) == HISTORY


def test_an_unfinished_run_says_which_command_ends_it(run: Run) -> None:
    write_json(run.recipe_path, {"dataset": "mnist", "recipe": "quick"})
    assert str(run.unfinished_error()) == (
        f"{run.run_dir}: is not finished: run 'make train DATA=mnist RECIPE=quick RUN=mine' with"
        " the same settings"
    )
    write_json(run.recipe_path, {"dataset": "mnist", "recipe": "blend", "blend_of": ["a", "b"]})
    assert str(run.unfinished_error()) == (
        f"{run.run_dir}: is not finished: run 'make blend RUNS=\"a b\" RUN=mine'"
    )


def test_a_member_is_done_with_its_predictions_and_a_run_with_all_its_files(run: Run) -> None:
    run.write_member(trained(SECOND))
    assert run.finished_members() == [SECOND]
    run.write_member(trained(FIRST))
    assert run.finished_members() == [FIRST, SECOND]
    for path in (run.oof_path, run.submission_path, run.cv_path):
        assert not run.is_finished()
        path.write_text("{}")
    assert run.is_finished()


def test_the_seconds_of_sessions_add_up(run: Run) -> None:
    assert run.seconds() == 0
    run.add_seconds(1.5)
    run.add_seconds(2)
    assert run.seconds() == 3.5


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\nb"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="give a plain name, without slashes or a leading dot"):
        validate_name(name)


def test_a_new_run_is_named_with_letters_digits_and_three_signs(tmp_path: Path) -> None:
    assert new_run(tmp_path, "A.b-c_1").name == "A.b-c_1"
    for name in ("my run!", "größer", "a*"):
        with pytest.raises(RunError, match=r"use letters, digits, '-', '_' and '.' only$"):
            new_run(tmp_path, name)
    write_json(Run(tmp_path / "my run!").recipe_path, {})  # of an earlier version
    assert new_run(tmp_path, "my run!").name == "my run!"


def test_a_blend_is_made_of_its_siblings_and_cannot_reach_out_of_the_folder(
    run: Run, tmp_path: Path
) -> None:
    blend, other = Run(tmp_path / "blend"), Run(tmp_path / "other")
    write_json(other.recipe_path, request().as_dict())
    asked = Request("small", "blend", None, ("mine", "other"))
    write_json(blend.recipe_path, asked.as_dict())
    assert blend.request() == asked
    assert blend.parts() == [run, other]
    write_json(blend.recipe_path, {**asked.as_dict(), "blend_of": ["mine", "../other"]})
    with pytest.raises(RunError, match="give a plain name"):
        blend.parts()
    assert run.parts() == [run]


def test_the_members_of_a_request_are_sorted_by_seed() -> None:
    names = [member.name for member in request(n_seeds=2).members]
    assert names == ["fold0-seed0", "fold1-seed0", "fold0-seed1", "fold1-seed1"]


def test_the_latest_run_is_the_one_finished_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no finished run: run 'make train' first"):
        find_run(tmp_path, None)
    for name, time in (("b", 300), ("a", 200), ("c", 100)):
        write_json(tmp_path / name / "recipe.json", {})
        write_json(tmp_path / name / "cv.json", {})
        os.utime(tmp_path / name / "cv.json", (time, time))
    write_json(tmp_path / "unfinished" / "recipe.json", {})
    assert find_run(tmp_path, None).name == "b"
    assert find_run(tmp_path, "a").name == "a"


def test_a_run_goes_on_under_the_same_request(run: Run) -> None:
    finished, begun = (run.member_dir(member) for member in request().members)
    left = [run.run_dir / ".tmp-left", finished / "checkpoint.npz"]  # by kills
    kept = [finished / "predictions.npz", begun / "checkpoint.npz"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with run.begin(request(), replace(ENVIRONMENT, commit="def")):
        pass
    assert run.request() == request()
    assert [path.exists() for path in (*left, *kept)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("epochs", "digest", "complaint"),
    [
        (5, "1", "was begun with epochs 2, not 5: give another RUN, or delete the folder"),
        (2, "2", "the data changed since this run began: give another RUN, or delete the folder"),
    ],
)
def test_another_request_or_other_data_are_refused(
    epochs: int, digest: str, complaint: str, run: Run
) -> None:
    before = contents(run.run_dir)
    other = replace(ENVIRONMENT, data={"train.csv": digest})
    with pytest.raises(RunError) as caught, run.begin(request(epochs=epochs), other):
        pass
    assert str(caught.value) == f"{run.run_dir}: {complaint}"
    assert contents(run.run_dir) == before
    with run.begin(request(), ENVIRONMENT):
        pass  # the lock was given back


HOLD = """
import sys
from pathlib import Path
from digit_recognizer.runs.run import Run
with Run(Path(sys.argv[1])).lock():
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
        turned_away = "another process is working on this run: wait for it"
        with pytest.raises(FileError, match=turned_away), run.lock():
            pass
        holder.kill()
    with run.lock():
        pass


def test_the_commit_of_a_repository_that_only_holds_the_installed_package_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "project" / ".venv" / "digit_recognizer"
    (package / "runs").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git = ("git", "-C", str(tmp_path / "project"), "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "theirs")):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(environment_module, "__file__", str(package / "runs" / "environment.py"))
    assert environment_module.code_version() == (None, None)
    subprocess.run([*git, "add", "-f", "."], check=True)
    assert environment_module.code_version()[0] is not None
