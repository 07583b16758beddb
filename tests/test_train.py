"""`train`, `cv` and `predict` as a user calls them."""

import os
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.runner import call, command, outcome, train, trained

from digit_recognizer.cli import main
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.files import read_json, write_json
from digit_recognizer.extras.kernel.archive import unpack_run
from digit_recognizer.runs.inference import ensemble_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import NETWORK_NAMES, RECIPES, Recipe


def test_a_run_leaves_every_artefact(place: Path) -> None:
    run_dir = place / "submissions" / "whole"
    found = {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()}
    of_member = ("history.csv", "model.safetensors", "predictions.npz")
    assert found >= {
        *(f"members/fold{fold}-seed0/{name}" for fold in (0, 1) for name in of_member),
        *("recipe.json", "environment.json", "seconds.json", "oof.csv", "cv.json"),
        *("augmented.png", "hardest.png", "report.html", "label_issues.csv", "MODEL_CARD.md"),
        "submission.csv",
    }
    assert "<h1>whole</h1>" in (run_dir / "report.html").read_text(encoding="utf-8")


def test_out_of_fold_rows_are_all_rows_once_and_the_report_counts_them(place: Path) -> None:
    finished = Run(place / "submissions" / "whole")
    data, cv = load_dataset(place / "data" / "small"), finished.cv()
    oof, submission = pd.read_csv(finished.oof_path), pd.read_csv(finished.submission_path)
    assert (oof.row == np.arange(240)).all()
    assert (oof.label == data.labels).all()
    assert cv.cv_accuracy == pytest.approx((oof.predicted == oof.label).mean())
    assert cv.n_errors == (oof.predicted != oof.label).sum()
    assert cv.cv_interval[0] < cv.cv_accuracy < cv.cv_interval[1]
    assert cv.test_accuracy == pytest.approx((submission.Label == data.solution).mean())


def test_a_run_of_some_folds_is_about_their_rows_only(place: Path, tmp_path: Path) -> None:
    trained(place, "half", "--folds", "1")
    half, whole = Run(place / "submissions" / "half"), Run(place / "submissions" / "whole")
    assert half.finished_members() == [Member(1, 0)]
    member = half.read_predictions(Member(1, 0))
    assert (member.val_logits == whole.read_predictions(Member(1, 0)).val_logits).all()
    oof, cv = pd.read_csv(half.oof_path), half.cv()
    assert (oof.row == np.sort(member.val_index)).all()
    assert (oof.label == load_dataset(place / "data" / "small").labels[oof.row]).all()
    assert cv.n_rows == len(oof) == 120
    assert list(cv.fold_accuracies) == ["1"]
    assert cv.cv_accuracy == pytest.approx((oof.predicted == oof.label).mean())
    submission = pd.read_csv(half.submission_path)
    assert (submission.Label == member.test_logits.argmax(axis=1)).all()
    shutil.make_archive(str(tmp_path / "run"), "zip", half.run_dir)
    arrived = Run(tmp_path / "arrived")
    unpack_run(tmp_path / "run.zip", arrived, half.request())
    assert arrived.is_finished()


def test_a_run_that_is_older_than_some_settings_is_still_good(place: Path, tmp_path: Path) -> None:
    older = Run(tmp_path / "submissions" / "older")
    shutil.copytree(place / "submissions" / "whole", older.run_dir)
    (tmp_path / "data").symlink_to(place / "data")
    request = read_json(older.recipe_path)
    for newer in ("folds", "beta2", "schedule", "lr_decay", "scaling", "crop"):
        del request[newer]
    write_json(older.recipe_path, request)
    assert "epoch" not in trained(tmp_path, "older").stderr
    data = load_dataset(place / "data" / "small")
    proba = ensemble_proba(older, data.test_images, Device("cpu", "fp32"))
    assert (proba.argmax(axis=1) == pd.read_csv(older.submission_path).Label).mean() > 0.95
    assert older.cv_path.read_bytes() == (place / "submissions" / "whole" / "cv.json").read_bytes()


def test_a_lost_member_is_trained_anew_and_so_are_the_scores(place: Path, tmp_path: Path) -> None:
    worn = Run(tmp_path / "submissions" / "worn")
    shutil.copytree(place / "submissions" / "whole", worn.run_dir)
    (tmp_path / "data").symlink_to(place / "data")
    shutil.rmtree(worn.member_dir(Member(1, 0)))
    cv, machine = worn.cv(), worn.environment()
    write_json(worn.cv_path, replace(cv, cv_accuracy=0.123))
    worn.hardest_path.write_bytes(b"of another day")
    other = replace(machine, device="cuda:0", hardware="a GPU", deterministic=False)
    write_json(worn.environment_path, other)
    trained(tmp_path, "worn")
    assert worn.hardest_path.read_bytes() != b"of another day"
    assert outcome(worn.run_dir) == outcome(place / "submissions" / "whole")
    assert worn.cv().cv_accuracy == cv.cv_accuracy
    both = worn.environment()
    assert (both.device, both.deterministic) == ("cuda:0 + cpu", False)
    assert both.hardware == f"a GPU + {machine.hardware}"
    # Where nothing is left of what another device trained, it had no part in the run.
    shutil.rmtree(worn.run_dir / "members")
    write_json(worn.environment_path, other)
    trained(tmp_path, "worn")
    assert (worn.environment().device, worn.environment().deterministic) == ("cpu", True)


def test_a_finished_run_is_not_trained_again(place: Path) -> None:
    finished = Run(place / "submissions" / "whole")
    before = {path: path.stat().st_mtime_ns for path in finished.run_dir.rglob("*.*")}
    again = trained(place, "whole")
    assert again.stdout.startswith("already finished on ")
    assert "epoch" not in again.stderr
    changed = {path.name for path, date in before.items() if path.stat().st_mtime_ns != date}
    assert changed <= {".lock"}


def test_a_reader_who_leaves_early_is_no_error(place: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = command("cv", place, "--run", "whole")
    with open(writer, "wb") as pipe:
        done = subprocess.run(words, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


OWN_NETWORK = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


def test_a_network_of_ones_own_is_kept_in_its_run(place: Path, tmp_path: Path) -> None:
    file, rows = tmp_path / "mine.py", str(place / "data" / "small" / "test.csv")
    file.write_text(OWN_NETWORK)
    trained(place, "own", "--network", f"{file}:linear", "--epochs", "1")
    assert call(place, "predict", "--run", "own", "--file", rows) == 0
    own = Run(place / "submissions" / "own")
    predicted = pd.read_csv(own.predictions_csv_path)
    assert (predicted.label == pd.read_csv(own.submission_path).Label).all()
    file.write_text(OWN_NETWORK + "# changed")
    changed = train(place, "own", "--network", f"{file}:linear", "--epochs", "1")
    assert changed.returncode == 1
    assert "own: mine.py changed since this run began: give another RUN" in changed.stderr
    assert changed.stderr.count("\n") == 1


def test_a_network_of_ones_own_that_does_not_work_leaves_no_run(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN_NETWORK)
    refused = train(place, "refused", "--network", f"{tmp_path / 'mine.py'}:best")
    message = "error: network mine.py:best: KeyError: 'best': fix mine.py\n"
    assert (refused.returncode, refused.stderr) == (2, message)
    assert not (place / "submissions" / "refused").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--workers two", "Invalid value for --workers: 'two' is not a whole number"),
        ("--workers 0", 'Invalid value "0" for --workers. Must be >= 1.'),
        ("--epochs 0", "epochs is 0: give a number from 1 to 1000"),
        ("--lr fast", 'Invalid value for --lr: unable to convert "fast" into float.'),
        ("--epochs 2.7", "Invalid value for --epochs: '2.7' is not a whole number"),
        ("--epoch 3", "Unknown option: --epoch. Did you mean --epochs?"),
        ("default", "unexpected argument 'default'"),
        (
            "--recipe best",
            f"no recipe is called 'best': give a TOML file or one of {', '.join(RECIPES)}",
        ),
        ("--network x", f"network is 'x': give one of {', '.join(NETWORK_NAMES)}"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", "small", *words.split()]) == 2
    out, err = capsys.readouterr()
    hint = ' (see ARGS="--help")' if message.startswith(("Invalid", "Unknown", "unex")) else ""
    assert (out, err) == ("", f"error: {message}{hint}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --data small --n-splits 50", "label 0 has 24 distinct training images, fewer than 50 folds"),
        ("train --data small --run ../out", "RUN is '../out': give a plain name"),
        ("predict --run whole --file none.png", "none.png: there is no such file: give another path"),
    ],
)  # fmt: skip
def test_mistakes_to_mend_are_one_line_and_exit_code_1(
    place: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(place, *words.split()) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_train_help_shows_every_setting_with_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for item in (item for item in fields(Recipe) if item.metadata["help"]):
        assert f"--{item.name.replace('_', '-')}" in shown
        assert f"(default: {item.default})" in shown
