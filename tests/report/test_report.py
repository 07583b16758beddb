"""`make report`: what it gathers from a run's files."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from support.desk import Desk
from support.small import images
from support.written_runs import read_oof, write_run

from digit_recognizer.data.dataset import replacing
from digit_recognizer.data.files import read_json, sha256, write_json
from digit_recognizer.data.sources import write_dataset
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, Submission
from digit_recognizer.pipeline import draw
from digit_recognizer.report import page
from digit_recognizer.report.figures import GAP, SCALE, draw_pictures
from digit_recognizer.runs.ensemble import RunResults, blend
from digit_recognizer.runs.predictions import OutOfFold
from digit_recognizer.runs.run import Run


def read(run: Run) -> RunResults:
    return RunResults.read(run, run.run_dir.parents[1] / "data")


def drawn(run: Run) -> tuple[str, dict[str, Any]]:
    """The page, and the data that it holds."""
    text = page.write_report(read(run)).read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found
    return text, json.loads(found[1])


@pytest.fixture(scope="module")
def run(shelf: Path) -> Run:
    """A finished run of two members."""
    return write_run(shelf, "run", skill=2.5)


@pytest.mark.parametrize("labels", [[3] * 20, [7] * 2 + [3] * 18])
def test_labels_of_one_class_or_of_two_rows_of_a_class_have_a_report(
    labels: list[int], tmp_path: Path
) -> None:
    with replacing(tmp_path / "data" / "small", "sample", may_submit=False) as aside:
        write_dataset(aside, (images(20), np.array(labels)), (images(4, seed=1), np.zeros(4, int)))
    text, data = drawn(write_run(tmp_path, "few"))
    assert "<h1>few</h1>" in text
    assert len(data["calibration"]) > 0


def test_label_issues_are_errors_of_the_networks_ranked_by_the_labels_own_probability(
    run: Run,
) -> None:
    page.write_report(read(run))
    oof = read_oof(run.oof_path)
    issues = pd.read_csv(run.label_issues_path)
    columns = ["row", "label", "suggested", "proba_label", "proba_suggested", "rank"]
    assert issues.columns.tolist() == columns
    assert (oof.labels[issues["row"]] == issues["label"]).all()
    assert (oof.predicted[issues["row"]] == issues["suggested"]).all()
    assert (oof.proba[issues["row"], issues["suggested"]] == issues["proba_suggested"]).all()
    assert (issues["label"] != issues["suggested"]).all()
    assert issues["rank"].tolist() == list(range(1, len(issues) + 1))
    assert len(issues) > 1
    assert issues["proba_label"].is_monotonic_increasing


def test_a_public_score_is_shown_beside_the_expected_one(run: Run, shelf: Path) -> None:
    assert "none yet" in drawn(run)[0]
    time = "2026-01-02T03:04:05+00:00"
    entry = LedgerEntry(time, run.name, "0" * 64, 7, "complete", public_score=0.12345)
    ledger = Ledger(shelf / "submissions")
    ledger.add(entry)
    assert "0.12345" not in drawn(run)[0]  # of another file, which the run had before
    ledger.add(replace(entry, file_sha256=sha256(run.submission_path)))
    text, _ = drawn(run)
    assert "0.12345" in text
    assert "below the prediction interval" in text
    assert "leaked" not in text
    ledger.refresh([Submission(7, "", "", "COMPLETE", 0.9999, "")])
    assert "A public score above 0.9987 is suspicious: some labels are wrong" in drawn(run)[0]


def test_a_run_of_one_fold_and_one_member_is_drawn(shelf: Path) -> None:
    run = write_run(shelf, "one", skill=2.5, folds="1")
    _, data = drawn(run)
    assert len(data["curves"]) == 1
    assert sum(bin["n_rows"] for bin in data["calibration"]) == 120


@pytest.fixture(scope="module")
def blended(shelf: Path) -> Run:
    """A blend of two members with four."""
    write_run(shelf, "left", skill=2.5, draw=1)
    write_run(shelf, "right", skill=3, draw=2, rotation=30.0, n_seeds=2)
    return blend(shelf / "data", shelf / "submissions", ["left", "right"], "both").run


def test_a_blend_shows_the_members_of_all_its_parts(blended: Run) -> None:
    text, data = drawn(blended)
    assert [curve["name"] for curve in data["curves"]] == [
        *("left, fold0-seed0", "left, fold1-seed0", "right, fold0-seed0", "right, fold0-seed1"),
        *("right, fold1-seed0", "right, fold1-seed1"),
    ]
    assert "<h3>left</h3>" in text


def test_the_model_card_has_the_runs_own_figures(run: Run) -> None:
    page.write_report(read(run))
    card, cv = run.model_card_path.read_text(encoding="utf-8"), read_json(run.cv_path)
    assert card.startswith("# Model card: run\n")
    expected = cv["expected_score"]
    for figure in (cv["cv_accuracy"], expected["middle"], expected["low"], cv["test_accuracy"]):
        assert f"{figure:.5f}" in card
    issues = len(run.label_issues_path.read_text().splitlines()) - 1
    assert f"Confident learning calls {issues} of the 240 labels probably wrong" in card
    assert "So an accuracy of 1 is not to be expected." in card
    assert "This run may not be submitted." in card


def test_labels_that_another_row_contradicts_are_no_finding_of_confident_learning(run: Run) -> None:
    results = read(run)
    wrong = np.flatnonzero(~results.oof.correct)[0]
    data = replace(results.data, images=results.data.images.copy())
    other = np.flatnonzero(data.labels != data.labels[wrong])[0]
    data.images[other] = data.images[wrong]
    twice = replace(results, data=data)
    assert page.report_context(results, np.arange(3), None)["n_contradictory"] == 0
    context = page.report_context(twice, np.arange(3), None)
    assert "They are preceded by 1 errors" in page.render(page.TEMPLATE, **context)
    assert "or another label of the same image, calls 3" in page.render(
        page.CARD_TEMPLATE, **context
    )


def test_the_model_card_is_markdown_and_claims_nothing_without_a_label_issue(run: Run) -> None:
    results = read(run)
    named = replace(results, request=replace(results.request, recipe_name="it's.toml"))
    context = page.report_context(named, np.empty(0, dtype=np.int64), None)
    card = page.render(page.CARD_TEMPLATE, **context)
    assert "Recipe `it's.toml`" in card
    assert "calls 0 of the 240" in card and "near 1" not in card


def test_a_training_without_augmentation_is_not_said_to_have_one(
    run: Run, shelf: Path, blended: Run
) -> None:
    bare = drawn(write_run(shelf, "bare", "lenet5"))[0]
    assert "Training used the digits as they are." in bare
    assert "on augmented images" not in bare and "smoothed" not in bare
    for trained in (run, blended):
        assert "training, on augmented images, with smoothed labels, so" in drawn(trained)[0]


def test_a_blend_has_its_hardest_digits_drawn_and_its_parts_their_augmentation_too(
    blended: Run,
) -> None:
    results = read(blended)
    draw_pictures(results)
    assert not blended.augmented_path.exists()
    picture = cv2.imread(str(blended.hardest_path), cv2.IMREAD_GRAYSCALE)
    first = results.oof.most_confident_errors()[0]
    corner = picture[GAP : GAP + 28 * SCALE : SCALE, GAP : GAP + 28 * SCALE : SCALE]
    np.testing.assert_array_equal(255 - corner, results.data.images[first])
    left, _ = blended.parts()
    draw_pictures(read(left))
    assert left.augmented_path.is_file() and left.hardest_path.is_file()


def test_the_page_of_a_very_bad_run_stays_below_5_mb(run: Run) -> None:
    results = read(run)
    rng, count = np.random.default_rng(0), 4000
    rows, labels = np.arange(count), rng.integers(0, 10, count)
    proba = rng.dirichlet(np.ones(10), count)
    oof = OutOfFold(rows, labels, rows % 2, proba.argmax(axis=1), proba)
    noise = images(count)  # no PNG makes it smaller
    data = replace(results.data, images=noise, labels=labels, test_images=noise[:60])
    cv = replace(results.cv, n_errors=int((~oof.correct).sum()))
    bad = replace(results, cv=cv, data=data, oof=oof)
    text = page.render(page.TEMPLATE, **page.report_context(bad, rows, None))
    assert "the 2,000 most confident are here" in text
    assert "calls 4,000 of the labels probably wrong" in text
    assert len(text.encode()) < 5_000_000


def test_make_report_says_where_the_page_is_or_what_is_wrong(shelf: Path, shelf_desk: Desk) -> None:
    run = write_run(shelf, "printed")
    assert shelf_desk.ok("report", "--run", "printed") == f"to look at: {run.report_path}\n"
    run.cv_path.unlink()
    assert "is not finished: run 'make train" in shelf_desk.fail("report", "--run", "printed")


def test_a_run_is_not_drawn_with_other_data_than_its_own(shelf: Path, shelf_desk: Desk) -> None:
    run = write_run(shelf, "of-another-day")
    write_json(run.environment_path, replace(run.environment(), data={"train.csv": "0" * 64}))
    line = f"{run.run_dir}: was trained on other data than {shelf / 'data'} holds now"
    assert shelf_desk.fail("report", "--run", run.name) == line


@pytest.mark.parametrize("file", ["label_issues.csv", "hardest.png"])
def test_a_report_that_cannot_be_drawn_does_not_lose_the_run_and_is_drawn_later(
    file: str, shelf: Path, shelf_desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_run(shelf, f"torn-{file}")
    (run.run_dir / file).mkdir()  # where a file is to be written
    assert not draw(read(run))
    assert page.is_drawn(run) == (file == "hardest.png")
    (message,) = caplog.messages
    assert message.startswith("warning: no report (FileError: ")
    assert message.endswith(f"'make report RUN={run.name}' tries again")
    assert run.is_finished()
    (run.run_dir / file).rmdir()
    assert "report.html" in shelf_desk.ok("report", "--run", run.name)
    assert run.augmented_path.is_file() and run.hardest_path.is_file()
    assert page.is_drawn(run)
    assert caplog.messages == [message]
    later = run.report_path.stat().st_mtime_ns + 10**9
    os.utime(run.cv_path, ns=(later, later))
    assert not page.is_drawn(run)
