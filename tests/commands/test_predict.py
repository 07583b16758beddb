"""``predict`` on pictures, folders and CSV files, answered by the pretrained networks."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from support.drawn import ink, row_of
from support.runner import call
from support.strokes import png

from digit_recognizer.cli import main
from digit_recognizer.data.competition import write_pixels
from digit_recognizer.data.digit_image import decode_digits

Predict = Callable[..., str]


@pytest.fixture
def predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Predict:
    def predict(*words: object, code: int = 0) -> str:
        assert call(tmp_path, "predict", *map(str, words), "--device", "cpu") == code
        return "".join(capsys.readouterr())

    return predict


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a-seven.png").write_bytes(png(7))
    cv2.imwrite(str(folder / "b-blank.png"), np.full((50, 50), 255, np.uint8))
    cv2.imwrite(str(folder / "c-pi.png"), 255 - np.pad(row_of((3, 1, 4)), 60))
    return folder


def written(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(tmp_path / "submissions" / "predictions.csv", dtype={"label": "Int64"})


def test_a_blank_picture_in_a_folder_gets_its_own_row(
    predict: Predict, pictures: Path, tmp_path: Path
) -> None:
    shown = predict(pictures).splitlines()
    assert re.match(r"predictions by pretrained: CV accuracy 0\.99.* \(packaged\)$", shown[0])
    answers = [line.split()[:2] for line in shown[2:5]]
    assert answers == [["a-seven.png", "7"], ["b-blank.png", "-"], ["c-pi.png", "314"]]
    assert "shows no digit" in shown[3]
    table = written(tmp_path)
    assert list(table.image) == ["a-seven.png", "b-blank.png", *["c-pi.png"] * 3]
    assert list(table.label.fillna(-1)) == [7, -1, 3, 1, 4]
    assert max(map(len, shown[:5])) <= 80


def test_what_is_unclear_is_not_sure_and_has_a_runner_up(predict: Predict, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "both.png"), 255 - np.maximum(ink(0), ink(5)))
    assert re.search(r"not sure: \d or \d", predict(tmp_path / "both.png"))
    assert written(tmp_path).note[0].startswith("not sure: ")


def test_several_files_and_a_pattern_are_read(predict: Predict, pictures: Path) -> None:
    for words in (
        [pictures / "a-seven.png", pictures / "c-pi.png"],
        ["--file", pictures / "a-seven.png", "--file", pictures / "c-pi.png"],
        ["--file", pictures / "a-seven.png", pictures / "c-pi.png"],
        [pictures / "[ac]-*.png"],
        [pictures / "[ac]**.png"],
    ):
        lines = predict(*words).splitlines()[2:4]
        assert [line.split()[1] for line in lines] == ["7", "314"]
    assert "error: " in predict("--file", code=2)
    assert "nothing*.png: holds no PNG or JPEG image" in predict(pictures / "nothing*.png", code=1)


def test_out_says_where_the_answers_go(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "answers.csv"
    assert f"written to {out}" in predict(pictures / "a-seven.png", "--out", out)
    assert list(pd.read_csv(out).label) == [7]
    assert not (tmp_path / "submissions").exists()


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    predict: Predict, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(pictures))
    predict("~/a-seven.png", "--out", "~/answers.csv")
    assert list(pd.read_csv(pictures / "answers.csv").label) == [7]
    assert main(["predict", "~/a-seven.png", "--submissions-dir=~/runs"]) == 0
    assert list(pd.read_csv(pictures / "runs" / "predictions.csv").label) == [7]


def digits() -> np.ndarray:
    return np.stack([decode_digits(png(digit), "drawn")[0] for digit in (0, 1, 4, 7)])


def test_rows_of_a_test_csv_are_named_by_their_image_id(predict: Predict, tmp_path: Path) -> None:
    write_pixels(tmp_path / "test.csv", digits())
    predict(tmp_path / "test.csv")
    table = written(tmp_path)
    assert dict(zip(table.ImageId, table.label, strict=True)) == {1: 0, 2: 1, 3: 4, 4: 7}


def test_of_a_train_csv_the_accuracy_is_said(predict: Predict, tmp_path: Path) -> None:
    write_pixels(tmp_path / "train.csv", digits(), np.array([0, 1, 4, 9]))
    shown = predict(tmp_path / "train.csv")
    assert shown == predict(tmp_path / "tra*.csv")
    assert "accuracy 0.75000 (1 errors in 4 rows)" in shown
    assert "was trained on these rows" not in shown
    assert list(written(tmp_path).row) == [0, 1, 2, 3]


def test_a_csv_among_pictures_is_refused(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    write_pixels(tmp_path / "test.csv", digits())
    shown = predict(tmp_path / "test.csv", pictures, code=1)
    assert shown == f"error: {tmp_path / 'test.csv'}: give a CSV without other files\n"
