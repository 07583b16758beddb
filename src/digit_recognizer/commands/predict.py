"""``predict``: predict the digits of pictures or of a CSV of pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from digit_recognizer.commands.console import echo, format_columns, spinner
from digit_recognizer.commands.options import DeviceName, Folders, InferenceRunName, UserPath
from digit_recognizer.errors import FileError, NoDigitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from digit_recognizer.runs.inference import InferenceRun
    from digit_recognizer.runs.predictions import Proba

MAX_SHOWN_ROWS = 18  # lines on the screen; the CSV holds all
PROBA = [f"proba_{digit}" for digit in range(10)]


@dataclass(frozen=True)
class Picture:
    """The digits of a picture or of a row of a CSV, and the label where it is known."""

    name: str
    digits: "Sequence[NDArray[np.uint8]]"  # each [28, 28]
    label: int | None = None


def predict(
    file: Annotated[
        list[UserPath],
        Parameter(
            negative=(),
            consume_multiple=1,
            help="PNG or JPEG files, folders of them, or a test.csv or train.csv",
        ),
    ],
    *,
    run: InferenceRunName = None,
    out: Annotated[
        UserPath | None, Parameter(help="the CSV of the answers; else predictions.csv in the run")
    ] = None,
    device: DeviceName = "auto",
    folders: Folders = Folders(),
) -> None:
    """Predict the digits of pictures or of a CSV of pixels."""
    from digit_recognizer.runs.inference import PRETRAINED, ensemble_proba, find_inference_run

    inference_run = find_inference_run(folders.submissions_dir, run)
    files = [path for source in file for path in _pictures_of(source)]
    with spinner("loading PyTorch and reading the images"):
        import numpy as np
        import pandas as pd

        from digit_recognizer.data.files import write_csv
        from digit_recognizer.training.device import find_devices

        heading, pictures = _read_pictures(files)
    digits = [digit for picture in pictures for digit in picture.digits]
    images = np.array(digits, dtype=np.uint8).reshape(-1, 28, 28)
    with spinner("predicting") as show:
        proba = ensemble_proba(
            inference_run.run,
            images,
            find_devices(device)[0],
            lambda done, total: show(f"predicting: {done} of {total} networks are done"),
        )
    answers = list(_answers(pictures, proba))
    echo(f"predictions by {inference_run.title}")
    if inference_run.warning:
        echo(f"warning: {inference_run.warning}")
    header = (heading, "label", "probability", "")
    echo(format_columns([header, *map(_line, answers[:MAX_SHOWN_ROWS])]))
    if len(answers) > MAX_SHOWN_ROWS:
        echo(f"... and {len(answers) - MAX_SHOWN_ROWS:,} more")
    labels = [picture.label for picture in pictures if picture.label is not None]
    if labels:
        echo(_accuracy(proba.argmax(axis=1) == labels, files[0], inference_run))
    table = pd.DataFrame(chain(*answers), columns=[heading, "label", "note", *PROBA])
    if out is None:
        own = inference_run.run.predictions_csv_path
        out = folders.submissions_dir / own.name if inference_run.run == PRETRAINED else own
    write_csv(out, table.astype({"label": "Int64"}), float_format="%.6f")
    echo(f"written to {out}")


def _read_pictures(files: Sequence[Path]) -> tuple[str, list[Picture]]:
    """Read pictures, or one CSV; return what the names are, and the pictures."""
    for path in files:
        if path.suffix.lower() == ".csv":
            if len(files) > 1:
                raise FileError(f"{path}: give a CSV without other files")
            return _read_table(path)
    return "image", [_read_picture(path) for path in files]


def _pictures_of(source: Path) -> list[Path]:
    from digit_recognizer.data.digit_image import IMAGE_SUFFIXES

    if not source.exists() and set(source.name) & set("*?["):  # make and Windows pass them on
        files = sorted(p for p in source.parent.iterdir() if fnmatch(p.name, source.name))
    elif source.is_dir():
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    elif source.exists():
        return [source]
    else:
        raise FileError(f"{source}: there is no such file: give another path")
    if not files:
        raise FileError(f"{source}: holds no PNG or JPEG image")
    return files


def _read_picture(path: Path) -> Picture:
    from digit_recognizer.data.digit_image import decode_digits

    try:
        return Picture(path.name, decode_digits(path.read_bytes(), str(path)))
    except NoDigitError:
        return Picture(path.name, ())


def _read_table(path: Path) -> tuple[str, list[Picture]]:
    """Read a ``train.csv``, whose rows count from 0, or a ``test.csv``, whose ids count from 1."""
    from digit_recognizer.data.competition import read_test, read_train

    with open(path, "rb") as file:
        is_train = b"label" in file.readline(100)
    if is_train:
        images, labels = read_train(path)
        rows = enumerate(zip(images, labels.tolist(), strict=True))
        return "row", [Picture(str(row), [image], label=label) for row, (image, label) in rows]
    return "ImageId", [Picture(str(i), [image]) for i, image in enumerate(read_test(path), 1)]


def _answers(pictures: Sequence[Picture], proba: "Proba") -> Iterator[list[tuple[Any, ...]]]:
    """Yield each picture's rows ``name,label,note,proba_0..proba_9``, one for each digit.

    A picture without a digit has one row, which says so.
    """
    from digit_recognizer.runs.inference import uncertainty

    rest = iter(proba)
    for picture in pictures:
        if picture.digits:
            rows = islice(rest, len(picture.digits))
            yield [(picture.name, int(row.argmax()), uncertainty(row), *row) for row in rows]
        else:
            yield [(picture.name, None, "shows no digit", *[None] * 10)]


def _line(answers: Sequence[tuple[Any, ...]]) -> tuple[str, str, str, str]:
    """Return the name, the labels, the least probability and the notes of a picture's digits."""
    name, label, note, *_ = answers[0]
    if label is None:
        return name, "-", "", note
    labels = "".join(str(label) for _, label, *_ in answers)
    least = min(max(proba) for _, _, _, *proba in answers)
    notes = "; ".join(note for _, _, note, *_ in answers if note)
    return name, labels, f"{100 * least:.1f} %", notes


def _accuracy(correct: "NDArray[np.bool_]", path: Path, inference_run: "InferenceRun") -> str:
    """Return how many labels of a ``train.csv`` are met, and whether the run learned from them."""
    from digit_recognizer.data.files import sha256

    n_rows, n_errors = len(correct), int((~correct).sum())
    text = f"accuracy {correct.mean():.5f} ({n_errors:,} errors in {n_rows:,} rows)"
    if sha256(path) in inference_run.run.environment().data.values():
        text += f"\nnote: {inference_run.run.name} was trained on these rows: its CV accuracy is "
        text += f"{inference_run.cv.cv_accuracy:.5f}"
    return text
