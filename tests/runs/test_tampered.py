"""A run's files are not trusted: whatever they hold, each command ends in one line about them."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.runner import call
from support.small import contents
from support.written_runs import write_run

from digit_recognizer.data.files import read_arrays, write_arrays, write_json
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member

Tamper = Callable[[Path], object]
MEMBER = "members/fold0-seed0"


@pytest.fixture(scope="module")
def shelf(shelf: Path) -> Path:
    """Two finished runs, ``run`` and ``other``, of one epoch, and three rows to predict."""
    for draw, name in enumerate(("run", "other")):
        run = write_run(shelf, name, draw=draw, epochs=1)
        write_json(run.environment_path, replace(run.environment(), may_submit=True))
    rows = (shelf / "data" / "small" / "test.csv").read_text().splitlines(keepends=True)
    (shelf / "rows.csv").write_text("".join(rows[:4]))
    return shelf


@pytest.fixture
def place(shelf: Path, tmp_path: Path) -> Path:
    """The same, to tamper with."""
    (tmp_path / "data").symlink_to(shelf / "data")
    (tmp_path / "rows.csv").symlink_to(shelf / "rows.csv")
    shutil.copytree(shelf / "submissions", tmp_path / "submissions")
    return tmp_path


def words(command: str, place: Path) -> tuple[str, ...]:
    return {
        "predict": ("--run", "run", "--file", str(place / "rows.csv"), "--device", "cpu"),
        "submit": ("--run", "run", "--yes"),
        "blend": ("--runs", "run other", "--run", "new"),
        "scores": (),
        "runs": (),
    }.get(command, ("--run", "run"))


def put(content: bytes | str) -> Tamper:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def change(**values: Any) -> Tamper:
    """Put other values into a JSON object."""
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def arrays(**changes: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    """Change arrays of an npz file."""

    def tamper(path: Path) -> None:
        found = read_arrays(path)
        write_arrays(path, found | {name: edit(found[name]) for name, edit in changes.items()})

    return tamper


def weights(edit: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    """Change the first tensor of a file of weights."""

    def tamper(path: Path) -> None:
        found = load_file(path)
        first = next(iter(found))
        save_file({**found, first: edit(found[first])}, path)

    return tamper


def cell(column: int, value: str) -> Tamper:
    """Put a value into the first row of a CSV file."""

    def tamper(path: Path) -> None:
        header, first, *rest = path.read_text().splitlines()
        cells = first.split(",")
        cells[column] = value
        path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")

    return tamper


# The commands that read a file; the others, which may take a second, cannot notice.
READERS = {
    "recipe.json": ("report", "predict", "submit", "blend", "scores", "runs"),
    "environment.json": ("report", "submit", "blend"),
    "cv.json": ("cv", "report", "submit", "scores", "runs"),
    "seconds.json": ("blend",),
    "history.csv": ("report", "blend"),
    "predictions.npz": ("report", "blend"),
    "model.safetensors": ("predict",),
    "submission.csv": ("submit",),
    "ledger.csv": ("report", "scores", "runs"),
    ".uploading.json": ("submit",),
}
EXPECTED = {"low": 0.9, "middle": 0.95, "high": 1.0, "gain": 0.0, "gain_sd": 0.0}
CASES: dict[str, dict[str, Tamper]] = {
    "recipe.json": {
        "deep": put('{"a":' * 99_999),
        "a setting of another type": change(epochs=[1]),
        "a dataset with a zero byte": change(dataset="a\0b"),
        "a hundred million folds": change(n_splits=10**8),
        "a blend of nothing": change(blend_of=[]),
        "a blend of itself": change(blend_of=["run", "other"]),
    },
    "environment.json": {
        "an empty object": put("{}"),
        "may_submit of another type": change(may_submit="yes"),
        "missing": Path.unlink,
    },
    "cv.json": {
        "binary": put(bytes(range(256))),
        "not a number": change(cv_accuracy=float("nan")),
        "above 1": change(cv_accuracy=7),
        "an interval beyond 1": change(expected_score=EXPECTED | {"low": 1e8}),
        "a confusion of one row": change(confusion=[[1] * 10]),
        "no classes": change(classes=[]),
    },
    "seconds.json": {"null": put("null"), "text": change(seconds="x")},
    f"{MEMBER}/history.csv": {
        "empty": put(""),
        "a column missing": put("epoch,lr\n1,0.1\n"),
        "not finite": cell(2, "inf"),
        "no time": cell(6, "0.0"),
        "less than no augmentation": cell(7, "-1.0"),
        "missing": Path.unlink,
    },
    f"{MEMBER}/predictions.npz": {
        "binary": put(bytes(range(256)) * 9),
        "rows of text": arrays(val_index=lambda rows: rows.astype(str)),
        "rows of the other fold": arrays(val_index=lambda rows: rows // 2 * 2),
        "fewer rows": arrays(val_index=lambda r: r[:-1], val_logits=lambda logits: logits[:-1]),
        "nine columns": arrays(val_logits=lambda logits: logits[:, :9]),
        "not finite": arrays(test_logits=lambda logits: logits * np.float32(np.nan)),
        "fewer test rows": arrays(test_logits=lambda logits: logits[:-1]),
    },
    f"{MEMBER}/model.safetensors": {
        "a header of 2**62 bytes": put((2**62).to_bytes(8, "little")),
        "another shape": weights(lambda tensor: tensor[:-1]),
        "not finite": weights(lambda tensor: tensor * np.float32(np.inf)),
        "missing": Path.unlink,
    },
    "submission.csv": {"cut": put("ImageId,Lab"), "a label of 10": cell(1, "10")},
    "../ledger.csv": {
        "empty": put(""),
        "a zero byte": put("time,run\n\0,x\n"),
        "not a number": put(
            "time,run,file_sha256,public_score,ref,status\n2026,run,0,nan,1,complete\n"
        ),
    },
    "../.uploading.json": {"empty": put(""), "another type": put('{"time": 1}')},
}


@pytest.mark.parametrize(
    ("name", "tamper"),
    [(name, case) for name, cases in CASES.items() for case in cases.items()],
    ids=lambda value: value if isinstance(value, str) else value[0].replace(" ", "-"),
)
def test_a_tampered_file_is_one_line(
    name: str, tamper: tuple[str, Tamper], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper[1](place / "submissions" / "run" / name)
    before = contents(place / "submissions")
    lines = []
    for command in READERS[Path(name).name]:
        code = call(place, command, *words(command, place))
        out, err = capsys.readouterr()
        found = [line for line in out.splitlines() if "damaged: " in line]
        if code and "no Kaggle credentials found" not in err:
            assert re.fullmatch(r"error: .+: .+\n", err)
            found.append(err)
            assert command != "blend" or not (place / "submissions" / "new").exists()
        # To `submit`, which reads no part, a blend of itself is one like any other.
        assert found or (command, tamper[0]) == ("submit", "a blend of itself"), command
        lines += found
    file = name.removeprefix("../")
    slashed = [line.replace("\\", "/") for line in lines]
    named = [line for line in slashed if f"/{file}: " in line or f" {file}: " in line]
    assert named or any("/run: is a blend itself" in line for line in slashed), lines
    assert before.items() <= contents(place / "submissions").items()


def test_a_damaged_member_is_noticed_before_others_are_trained(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(place / "submissions" / "run")
    damaged, missing = (run.predictions_path(Member(fold, 0)) for fold in (0, 1))
    missing.unlink()
    arrays(test_logits=lambda logits: logits[:-1])(damaged)
    settings = ("--data", "small", "--network", "mlp", "--n-splits", "2", "--epochs", "1")
    assert call(place, "train", "--run", "run", *settings, "--device", "cpu") == 1
    assert capsys.readouterr().err == (
        f"error: {damaged}: has other rows: delete its folder and repeat the command that"
        " trained the run\n"
    )
