"""Something to look at after training: augmented digits and the hardest ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.augment import DRAWS, augmented_digits
from digit_recognizer.learning.recipe import Recipe, recipe_of_run
from digit_recognizer.pages.sheets import png, sheet
from digit_recognizer.storage import datasets
from digit_recognizer.storage.files import write_bytes
from digit_recognizer.storage.oof import OutOfFold, read_oof
from digit_recognizer.storage.runs import Run

MOST_ERRORS = 60


def draw_pictures(run: Run, data_dir: Path) -> list[Path]:
    """Write ``augmented.png`` and ``hardest.png`` of a finished run, where they are missing.

    A blend has no policy of its own, and so its hardest digits only.

    Returns
    -------
    the paths of what there is

    Raises
    ------
    StorageError
        If the data or ``oof.csv`` is missing or damaged, or the disk is full.
    """
    request = run.request()
    augmented, hardest = run.augmented_path, run.hardest_path
    pictures = [hardest] if "blend_of" in request else [augmented, hardest]
    if not all(path.is_file() for path in pictures):
        data, _ = datasets.load(data_dir / request["dataset"])
        if augmented in pictures:
            recipe = recipe_of_run(request)
            write_bytes(augmented, augmented_sheet(recipe, data.images, data.labels))
        write_bytes(hardest, hardest_sheet(read_oof(run.oof_path), data.images))
    return pictures


def augmented_sheet(recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """A PNG: in each row a digit as it is and, right of it, draws of the recipe's own policy."""
    rows = augmented_digits(recipe, images, labels)
    return png(sheet(rows.reshape(-1, 28, 28), 1 + DRAWS))


def hardest_sheet(oof: OutOfFold, images: NDArray[np.uint8]) -> bytes:
    """A PNG of out-of-fold errors, the surest first, as ``label, not prediction``."""
    errors = oof.surest_errors()[:MOST_ERRORS]
    captions = [f"{oof.labels[place]}, not {oof.predicted[place]}" for place in errors]
    return png(sheet(images[oof.rows[errors]], 12, captions))
