"""Pictures of digits as PNG: examples of the augmentation, the most confident errors."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.files import write_bytes
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.training.augment import N_EXAMPLES, SIDE, augmentation_examples
from digit_recognizer.training.recipe import Recipe

SCALE = 2  # screen pixels for one of an image's
GAP = 4
CAPTION = 14  # pixels of height for the text under a digit
PAPER, INK = 255, 60
MAX_ERRORS = 60


def draw_pictures(results: RunResults) -> list[Path]:
    """Write ``augmented.png`` and ``hardest.png`` of a finished run, where they are missing.

    A blend has no augmentation of its own, and so its errors only. Returns the paths of all.
    """
    run, recipe, oof = results.run, results.request.recipe, results.oof
    pictures = [run.augmented_path, run.hardest_path] if recipe else [run.hardest_path]
    if recipe and not run.augmented_path.is_file():
        write_bytes(run.augmented_path, png(augmentation_sheet(recipe, results.data)))
    if not run.hardest_path.is_file():
        errors = oof.most_confident_errors()[:MAX_ERRORS]
        captions = [f"{oof.labels[index]}, not {oof.predicted[index]}" for index in errors]
        hardest = sheet(results.data.images[oof.rows[errors]], 12, captions)
        write_bytes(run.hardest_path, png(hardest))
    return pictures


def augmentation_sheet(recipe: Recipe, data: Dataset) -> NDArray[np.uint8]:
    """Return a sheet: in each row a digit as it is and, right of it, draws of the policy."""
    examples = augmentation_examples(recipe, data.images, data.labels)
    return sheet(examples.reshape(-1, SIDE, SIDE), 1 + N_EXAMPLES)


def sheet(
    images: NDArray[np.uint8], columns: int, captions: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Return images [N, 28, 28] uint8 in rows of `columns`, each over its caption; grey [H, W]."""
    size = SIDE * SCALE
    height = size + GAP + (CAPTION if captions else 0)
    rows = -(-len(images) // columns)
    page = np.full((rows * height + GAP, columns * (size + GAP) + GAP), PAPER, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = GAP + index // columns * height, GAP + index % columns * (size + GAP)
        large = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST)
        page[top : top + size, left : left + size] = 255 - large
        if captions:
            corner = (left, top + size + CAPTION - 3)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(page, captions[index], corner, font, 0.35, INK, 1, cv2.LINE_AA)
    return page


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture [H, W] as PNG."""
    content: bytes = cv2.imencode(".png", picture)[1].tobytes()
    return content


def data_url(picture: NDArray[np.uint8]) -> str:
    """Return a URL that holds a picture [H, W] as PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
