"""Blends: several finished runs as one, and honest about it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from support.desk import Desk
from support.runner import call
from support.small import contents
from support.written_runs import write_run

from digit_recognizer.data.files import write_json
from digit_recognizer.errors import RunError
from digit_recognizer.runs.ensemble import blend, ensure_finished
from digit_recognizer.runs.predictions import mean_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.submission import check_submission
from digit_recognizer.training.members import Member, TrainedMember


@pytest.fixture(scope="module")
def shelf(shelf: Path) -> Path:
    """Three finished runs of one dataset: other folds, other numbers of members."""
    write_run(shelf, "two", skill=3)
    write_run(shelf, "three", skill=3, draw=1, n_splits=3, n_seeds=2, split_seed=5)
    write_run(shelf, "first fold", skill=3, draw=2, folds="0")
    return shelf


def blended(shelf: Path, names: list[str], name: str) -> Run:
    return blend(shelf / "data", shelf / "submissions", names, name).run


def test_each_part_weighs_the_same_and_judges_rows_by_members_that_never_saw_them(
    shelf: Path,
) -> None:
    run = blended(shelf, ["two", "three"], "blend")
    oof, submission = pd.read_csv(run.oof_path), pd.read_csv(run.submission_path)
    expected, test_proba = np.zeros((240, 10)), np.zeros((60, 10))
    for part in run.parts():
        members = [part.read_predictions(member) for member in part.finished_members()]
        test_proba += mean_proba([member.test_logits for member in members])
        for row in range(240):
            ours = [member.val_logits[member.val_index == row] for member in members]
            expected[row] += softmax(np.concatenate(ours), axis=1).mean(axis=0) / 2
    assert_array_equal(oof.row, np.arange(240))
    assert_allclose(oof.filter(like="proba_"), expected, atol=1e-6)
    assert_array_equal(submission.Label, test_proba.argmax(axis=1))
    assert run.cv().cv_accuracy == (oof.predicted == oof.label).mean()
    assert run.cv().n_members == 2 + 6
    assert_array_equal(oof.fold, pd.read_csv(Run(shelf / "submissions" / "two").oof_path).fold)


def test_blending_again_changes_nothing_and_a_lost_file_comes_back(shelf: Path) -> None:
    run = blended(shelf, ["two", "three"], "blend")
    before = contents(run.run_dir)
    assert blended(shelf, ["two", "three"], "blend") == run
    assert contents(run.run_dir) == before
    run.submission_path.unlink()
    blended(shelf, ["two", "three"], "blend")
    assert contents(run.run_dir)["submission.csv"] == before["submission.csv"]


def test_a_part_that_changed_is_noticed(shelf: Path) -> None:
    part = write_run(shelf, "changing", draw=7)
    run = blended(shelf, ["two", "changing"], "noticing")
    member = Member(0, 0)
    before = part.read_predictions(member)
    other = replace(before, test_logits=-before.test_logits)
    part.write_member(TrainedMember(member, {}, other, part.read_history(member)))
    with pytest.raises(RunError, match="noticing: a part changed since it was blended"):
        blended(shelf, ["two", "changing"], "noticing")
    run.submission_path.unlink()
    with pytest.raises(RunError, match="a part changed since it was blended: delete noticing"):
        ensure_finished(run, shelf / "data")


def test_runs_of_one_fold_are_blended_where_it_is_the_same_rows(shelf: Path) -> None:
    write_run(shelf, "also first", draw=9, folds="0")
    run = blended(shelf, ["first fold", "also first"], "first-folds")
    assert run.cv().n_rows == 120


def test_what_cannot_be_blended_is_one_line_and_nothing_is_written(
    shelf: Path, shelf_desk: Desk
) -> None:
    submissions = shelf / "submissions"
    blended(shelf, ["two", "three"], "blend")
    unfinished = write_run(shelf, "unfinished", draw=3)
    unfinished.predictions_path(Member(0, 0)).unlink()
    other = write_run(shelf, "other data", draw=4)
    other_data = replace(other.environment(), data={"train.csv": "0" * 64})
    write_json(other.environment_path, other_data)
    before = contents(submissions)
    for runs, name, complaint in [
        ("two", "new", "RUNS is 'two': give two or more different runs to blend"),
        ("two two", "new", "RUNS is 'two two': give two or more different runs to blend"),
        ("two three", "two", "RUN is 'two', which is one of RUNS: give the blend another name"),
        ("two none", "new", f"{submissions}/none: there is no such run"),
        ("two unfinished", "new", "unfinished: is not finished: run 'make train DATA=small"),
        ("two blend", "new", "blend: is a blend itself: give its parts, two three, instead"),
        ("two three", "../new", "RUN is '../new': give a plain name"),
        ("two three", "unfinished", "was begun with recipe default, not blend"),
    ]:
        error = shelf_desk.fail("blend", "--runs", runs, "--run", name)
        assert complaint in error
        assert "\n" not in error
    for name in ("other data", "first fold"):
        with pytest.raises(RunError, match=f"{name}: has other data or held-out rows than two"):
            blend(shelf / "data", submissions, ["two", name], "new")
    assert contents(submissions) == before


def test_a_blend_predicts_with_the_networks_of_all_its_parts(shelf: Path) -> None:
    blended(shelf, ["two", "three"], "blend")
    file = str(shelf / "data" / "small" / "test.csv")
    answers = {}
    for name in ("two", "three", "blend"):
        assert call(shelf, "predict", "--run", name, "--file", file, "--device", "cpu") == 0
        table = pd.read_csv(shelf / "submissions" / name / "predictions.csv")
        answers[name] = table.filter(like="proba_").to_numpy()
    assert not np.allclose(answers["two"], answers["three"], atol=1e-3)
    assert_allclose(answers["blend"], (answers["two"] + answers["three"]) / 2, atol=2e-6)


def test_a_blend_is_checked_for_submission_as_any_run(shelf: Path) -> None:
    names = []
    for draw, may_submit in enumerate((True, True, False), start=5):
        part = write_run(shelf, f"part {draw}", draw=draw)
        write_json(part.environment_path, replace(part.environment(), may_submit=may_submit))
        names.append(part.name)
    run = blended(shelf, names[:2], "fit-blend")
    checked = check_submission(run, None, shelf / "submissions", shelf / "data", None)
    assert checked.cv == run.cv()
    assert checked.n_rows == 60
    run = blended(shelf, names, "unfit-blend")
    with pytest.raises(RunError, match="from 'sample', which may never be submitted"):
        check_submission(run, None, shelf / "submissions", shelf / "data", None)
