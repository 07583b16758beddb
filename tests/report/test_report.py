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
from support.runner import call
from support.small import images
from support.written_runs import read_oof, write_run

from digit_recognizer.data.competition import read_submission
from digit_recognizer.data.dataset import load, replacing
from digit_recognizer.data.files import read_json, sha256, write_json
from digit_recognizer.data.sources import write_dataset
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, Submission
from digit_recognizer.pipeline import draw
from digit_recognizer.report import page
from digit_recognizer.report.figures import GAP, SCALE, draw_pictures
from digit_recognizer.runs.ensemble import RunResults, blend
from digit_recognizer.runs.predictions import OutOfFold
from digit_recognizer.runs.run import Run


def read(run: Run, place: Path) -> RunResults:
    return RunResults.read(run, place / "data")


def drawn(run: Run, place: Path) -> tuple[str, dict[str, Any]]:
    """The page, and the data that it holds."""
    text = page.write_report(read(run, place)).read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found
    return text, json.loads(found[1])


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    """A finished run of two members."""
    return write_run(place, "run", skill=2.5)


@pytest.mark.parametrize("labels", [[3] * 20, [7] * 2 + [3] * 18])
def test_labels_of_one_class_or_of_two_rows_of_a_class_have_a_report(
    labels: list[int], tmp_path: Path
) -> None:
    with replacing(tmp_path / "data" / "small", "sample", may_submit=False) as aside:
        write_dataset(aside, (images(20), np.array(labels)), (images(4, seed=1), np.zeros(4, int)))
    text, data = drawn(write_run(tmp_path, "few"), tmp_path)
    assert "<h1>few</h1>" in text
    assert len(data["calibration"]) > 0


def test_label_issues_are_errors_of_the_networks_ranked_by_the_labels_own_probability(
    run: Run, place: Path
) -> None:
    page.write_report(read(run, place))
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


def test_a_public_score_is_shown_beside_the_expected_one(run: Run, place: Path) -> None:
    assert "none yet" in drawn(run, place)[0]
    time, scores = "2026-01-02T03:04:05+00:00", {"cv_accuracy": 0.9, "public_score": 0.12345}
    entry = LedgerEntry(time, run.name, "0" * 64, 7, "complete", **scores)
    ledger = Ledger(place / "submissions")
    ledger.add(entry)
    assert "0.12345" not in drawn(run, place)[0]  # of another file, which the run had before
    ledger.add(replace(entry, file_sha256=sha256(run.submission_path)))
    text, _ = drawn(run, place)
    assert "0.12345" in text
    assert "below the expected interval" in text
    assert "leaked" not in text
    later = Submission(7, "", "", "COMPLETE", 0.9999, "")
    ledger.refresh([later])
    assert "A public score above 0.9987 is better than the labels allow" in drawn(run, place)[0]


def test_a_run_of_one_fold_and_one_member_is_drawn(place: Path) -> None:
    run = write_run(place, "one", skill=2.5, folds="1")
    _, data = drawn(run, place)
    assert len(data["curves"]) == 1
    assert len(data["disputed"]) == 60
    assert sum(bin["n_rows"] for bin in data["calibration"]) == 120


@pytest.fixture(scope="module")
def blended(place: Path) -> tuple[Run, list[Run]]:
    """A blend of two members with four, and its parts."""
    parts = [
        write_run(place, "left", skill=2.5, draw=1),
        write_run(place, "right", skill=3, draw=2, rotation=30.0, n_seeds=2),
    ]
    names = [part.name for part in parts]
    return blend(place / "data", place / "submissions", names, "both").run, parts


def test_a_blend_shows_the_members_of_all_its_parts_and_what_it_submits(
    place: Path, blended: tuple[Run, list[Run]]
) -> None:
    run, parts = blended
    text, data = drawn(run, place)
    assert [curve["name"] for curve in data["curves"]] == [
        f"{part.name}, {member.name}"
        for part in parts
        for member in sorted(part.finished_members())
    ]
    assert "<h3>left</h3>" in text
    submitted = read_submission(run.submission_path, 60)
    assert data["disputed"]
    assert all(item["predicted"] == submitted[item["row"] - 1] for item in data["disputed"])


def test_the_model_card_has_the_runs_own_figures(run: Run, place: Path) -> None:
    page.write_report(read(run, place))
    card, cv = run.model_card_path.read_text(encoding="utf-8"), read_json(run.cv_path)
    assert card.startswith("# Model card: run\n")
    expected = cv["expected_score"]
    for figure in (cv["cv_accuracy"], expected["middle"], expected["low"], cv["test_accuracy"]):
        assert f"{figure:.5f}" in card
    issues = len(run.label_issues_path.read_text().splitlines()) - 1
    assert f"Confident learning calls {issues} of the 240 labels probably wrong" in card
    assert "So an accuracy of 1 is not to be expected." in card
    assert "This run may not be submitted." in card


def test_labels_that_another_row_contradicts_are_no_finding_of_confident_learning(
    run: Run, place: Path
) -> None:
    results = read(run, place)
    wrong = int(np.flatnonzero(~results.oof.correct)[0])
    images, labels = results.data.images.copy(), results.data.labels
    other = int(np.flatnonzero(labels != labels[wrong])[0])
    images[other] = images[wrong]
    twice = replace(results, data=replace(results.data, images=images))
    assert page.report_context(results, np.arange(3), None)["n_contradictory"] == 0
    context = page.report_context(twice, np.arange(3), None)
    assert "Before them stand 1 errors" in page.render(page.TEMPLATE, **context)
    assert "or another label of the same image, calls 3" in page.render(
        page.CARD_TEMPLATE, **context
    )


def test_the_model_card_is_markdown_and_claims_nothing_without_a_label_issue(
    run: Run, place: Path
) -> None:
    results = read(run, place)
    named = replace(results, request=replace(results.request, recipe_name="it's.toml"))
    context = page.report_context(named, np.empty(0, dtype=np.int64), None)
    card = page.render(page.CARD_TEMPLATE, **context)
    assert "Recipe `it's.toml`" in card
    assert "calls 0 of the 240" in card and "near 1" not in card


def test_a_training_without_augmentation_is_not_said_to_have_one(
    run: Run, place: Path, blended: tuple[Run, list[Run]]
) -> None:
    bare = drawn(write_run(place, "bare", "lenet5"), place)[0]
    assert "Training used the digits as they are." in bare
    assert "on augmented images" not in bare and "smoothed" not in bare
    for trained in (run, blended[0]):
        text = drawn(trained, place)[0]
        assert "training, on augmented images, with smoothed labels, so" in text


def test_digits_on_which_all_members_agree_are_not_disputed(run: Run, place: Path) -> None:
    votes = [run.read_member(m).test_logits.argmax(axis=1) for m in run.finished_members()]
    text, data = drawn(run, place)
    differ = np.flatnonzero(votes[0] != votes[1]) + 1
    assert sorted(item["row"] for item in data["disputed"]) == differ.tolist()
    assert f"{len(differ)} test rows on which members predict different digits" in text


def test_a_blend_has_its_hardest_digits_drawn_and_its_parts_their_augmentation_too(
    place: Path, blended: tuple[Run, list[Run]]
) -> None:
    run, parts = blended
    draw_pictures(read(run, place))
    assert not run.augmented_path.exists()
    picture = cv2.imread(str(run.hardest_path), cv2.IMREAD_GRAYSCALE)
    first = read_oof(run.oof_path).most_confident_errors()[0]
    data = load(place / "data" / "small")
    corner = picture[GAP : GAP + 28 * SCALE : SCALE, GAP : GAP + 28 * SCALE : SCALE]
    np.testing.assert_array_equal(255 - corner, data.images[first])
    draw_pictures(read(parts[0], place))
    assert parts[0].augmented_path.is_file() and parts[0].hardest_path.is_file()


def test_the_page_of_a_very_bad_run_stays_below_5_mb(run: Run, place: Path) -> None:
    results = read(run, place)
    rng, count = np.random.default_rng(0), 4000
    rows, labels = np.arange(count), rng.integers(0, 10, count)
    proba = rng.dirichlet(np.ones(10), count)
    oof = OutOfFold(rows, labels, rows % 2, proba.argmax(axis=1), proba)
    noise = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)  # no PNG makes it smaller
    data = replace(results.data, images=noise, labels=oof.labels, test_images=noise[:60])
    cv = replace(results.cv, n_errors=int((oof.labels != oof.predicted).sum()))
    bad = replace(results, cv=cv, data=data, oof=oof)
    context = page.report_context(bad, np.arange(count), None)
    text = page.render(page.TEMPLATE, **context)
    assert "the 2,000 most confident are here" in text
    assert "calls 4,000 of the labels probably wrong" in text
    assert len(text.encode()) < 5_000_000


def test_make_report_says_where_the_page_is_or_what_is_wrong(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(place, "printed")
    assert call(place, "report", "--run", "printed") == 0
    assert capsys.readouterr().out == f"to look at: {run.report_path}\n"
    run.cv_path.unlink()
    assert call(place, "report", "--run", "printed") == 1
    assert "is not finished: run 'make train" in capsys.readouterr().err


def test_a_run_is_not_drawn_with_other_data_than_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(place, "of-another-day")
    write_json(run.environment_path, replace(run.environment(), data={"train.csv": "0" * 64}))
    assert call(place, "report", "--run", "of-another-day") == 1
    line = f"error: {run.run_dir}: was trained on other data than {place / 'data'} holds now\n"
    assert capsys.readouterr().err == line


def test_a_report_that_cannot_be_drawn_does_not_lose_the_run_and_is_drawn_later(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_run(place, "torn")
    run.label_issues_path.mkdir()  # where a file is to be written
    assert not draw(read(run, place))
    assert run.augmented_path.is_file() and run.hardest_path.is_file()
    (message,) = caplog.messages
    assert message.startswith("warning: no report (FileError: ")
    assert message.endswith("'make report RUN=torn' tries again")
    assert run.is_done()
    assert not page.is_drawn(run)
    run.label_issues_path.rmdir()
    assert draw(read(run, place))
    assert page.is_drawn(run)
    assert caplog.messages == [message]
    later = run.report_path.stat().st_mtime_ns + 10**9
    os.utime(run.cv_path, ns=(later, later))
    assert not page.is_drawn(run)
