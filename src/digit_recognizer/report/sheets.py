"""Sheets of digits as PNG: examples of the augmentation, the most confident errors."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.files import write_bytes
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.predictions import OutOfFold
from digit_recognizer.training.augment import N_EXAMPLES, augmentation_examples
from digit_recognizer.training.recipe import Recipe

SIDE = 28
SCALE = 2  # screen pixels for one of an image's
GAP = 4
CAPTION = 14  # pixels of height for the text under a digit
PAPER, INK = 255, 60
MAX_ERRORS = 60
SPRITE_COLUMNS = 40


def draw_pictures(results: RunResults) -> list[Path]:
    """Write ``augmented.png`` and ``hardest.png`` of a finished run, where they are missing.

    A blend has no augmentation of its own, and so its errors only. Returns the paths of all.
    """
    run, recipe, data = results.run, results.request.recipe, results.data
    pictures = [run.augmented_path, run.hardest_path] if recipe else [run.hardest_path]
    if recipe and not run.augmented_path.is_file():
        write_bytes(run.augmented_path, augmented_sheet(recipe, data.images, data.labels))
    if not run.hardest_path.is_file():
        write_bytes(run.hardest_path, hardest_sheet(results.oof, data.images))
    return pictures


def augmented_sheet(recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """Return a PNG: in each row a digit as it is and, right of it, draws of the recipe's policy."""
    rows = augmentation_examples(recipe, images, labels)
    return png(sheet(rows.reshape(-1, SIDE, SIDE), 1 + N_EXAMPLES))


def hardest_sheet(oof: OutOfFold, images: NDArray[np.uint8]) -> bytes:
    """Return a PNG of out-of-fold errors, the most confident first, as ``label, not predicted``."""
    errors = oof.most_confident_errors()[:MAX_ERRORS]
    captions = [f"{oof.labels[index]}, not {oof.predicted[index]}" for index in errors]
    return png(sheet(images[oof.rows[errors]], 12, captions))


def sheet(
    images: NDArray[np.uint8], columns: int, captions: Sequence[str] | None = None
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


class Sprite:
    """Digits [28, 28] uint8 of a page in one picture; the same digit is kept once."""

    def __init__(self) -> None:
        self._indexes: dict[bytes, int] = {}

    def index(self, image: NDArray[np.uint8]) -> int:
        """Add a digit and return its number in the picture, from 0, row by row."""
        return self._indexes.setdefault(image.tobytes(), len(self._indexes))

    @property
    def n_rows(self) -> int:
        """The number of rows of `SPRITE_COLUMNS` digits."""
        return max(1, -(-len(self._indexes) // SPRITE_COLUMNS))

    def data_url(self) -> str:
        """Return the picture as a URL that holds its PNG."""
        tiles = np.frombuffer(b"".join(self._indexes), dtype=np.uint8).reshape(-1, SIDE, SIDE)
        grid = np.zeros((self.n_rows * SPRITE_COLUMNS, SIDE, SIDE), dtype=np.uint8)
        grid[: len(tiles)] = tiles
        picture = grid.reshape(self.n_rows, SPRITE_COLUMNS, SIDE, SIDE).swapaxes(1, 2)
        content = png(picture.reshape(self.n_rows * SIDE, -1))
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"
