"""`make predict`: pictures or pixel rows through a run's ensemble."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import load_network
from digit_recognizer.learning.metrics import mean_proba
from digit_recognizer.learning.predict import predict_logits
from digit_recognizer.learning.recipe import recipe_of_run
from digit_recognizer.storage.competition import read_test
from digit_recognizer.storage.files import StorageError, write_text
from digit_recognizer.storage.pictures import PICTURE_ENDINGS, read_picture
from digit_recognizer.storage.runs import Run
from digit_recognizer.storage.weights import network_names, read_weights


@dataclass(frozen=True)
class Answer:
    """One image's name, predicted label and probabilities [10]."""

    name: str
    label: int
    proba: tuple[float, ...]


def predict(run: Run, source: Path, placement: Placement) -> tuple[list[Answer], Path]:
    """Predict a picture, a folder of pictures, or a CSV in the form of ``test.csv``.

    Returns
    -------
    answers, and the CSV in the run's folder that holds them

    Raises
    ------
    StorageError
        If there is nothing to predict, a file is damaged, or a member is not trained or its network damaged.
    """
    names, images = read_images(source)
    proba = ensemble_proba(run, images, placement)
    answers = [
        Answer(name, int(chances.argmax()), tuple(chances.tolist()))
        for name, chances in zip(names, proba, strict=True)
    ]
    path = run.answers_path
    write_text(path, _as_csv(answers))
    return answers, path


def read_images(source: Path) -> tuple[list[str], NDArray[np.uint8]]:
    """Names and images [N, 28, 28] uint8 of what `source` holds."""
    if source.is_dir():
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_ENDINGS)
        if not files:
            raise StorageError(f"{source}: holds no PNG or JPEG picture")
    elif source.suffix.lower() == ".csv":
        images = read_test(source)
        return [f"row {number}" for number in range(1, len(images) + 1)], images
    else:
        files = [source]
    return [file.name for file in files], np.stack([read_picture(file) for file in files])


def ensemble_proba(
    run: Run, images: NDArray[np.uint8], placement: Placement
) -> NDArray[np.float64]:
    """Mean probabilities [N, 10] of a run's members for images [N, 28, 28] uint8.

    The parts of a blend weigh the same, however many members each has.
    """
    parts = [_part_proba(part, images, placement) for part in run.parts()]
    mean: NDArray[np.float64] = np.mean(parts, axis=0)
    return mean


def _part_proba(part: Run, images: NDArray[np.uint8], placement: Placement) -> NDArray[np.float64]:
    recipe = recipe_of_run(part.request())
    logits = []
    for name in network_names(part):
        network = load_network(recipe.network, read_weights(part, name), placement)
        logits.append(predict_logits(network, images, recipe, placement))
    return mean_proba(logits)


def _as_csv(answers: list[Answer]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "label", *(f"proba_{digit}" for digit in range(10))])
    for answer in answers:
        table.writerow([answer.name, answer.label, *(f"{p:.6f}" for p in answer.proba)])
    return text.getvalue()
