"""Something to look at after training: augmented digits and the hardest ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.learning.augment import augment, build_policy
from digit_recognizer.learning.randomness import Purpose, stream
from digit_recognizer.learning.recipe import Recipe, recipe_of_run
from digit_recognizer.pages.sheets import png, sheet
from digit_recognizer.storage import datasets
from digit_recognizer.storage.files import write_bytes
from digit_recognizer.storage.runs import Run

DRAWS = 11  # of each digit, beside the digit itself
MOST_ERRORS = 60
PROBA = [f"proba_{digit}" for digit in range(10)]


def draw_pictures(run: Run, data_dir: Path) -> list[Path]:
    """Write ``augmented.png`` and ``hardest.png`` of a finished run, where they are missing.

    Returns
    -------
    the paths of both

    Raises
    ------
    StorageError
        If the data is missing or damaged, or the disk is full.
    """
    augmented, hardest = run.run_dir / "augmented.png", run.run_dir / "hardest.png"
    if not (augmented.is_file() and hardest.is_file()):
        request = run.request()
        data, _ = datasets.load(data_dir / request["dataset"])
        write_bytes(augmented, augmented_sheet(recipe_of_run(request), data.images, data.labels))
        write_bytes(hardest, hardest_sheet(pd.read_csv(run.oof_path), data.images))
    return [augmented, hardest]


def augmented_sheet(recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """A PNG: in each row a digit as it is and, right of it, draws of the recipe's own policy."""
    firsts = [int(np.argmax(labels == digit)) for digit in range(10)]
    copies = np.repeat(images[firsts], DRAWS, axis=0)  # [10 * 11, 28, 28]
    rng = stream(recipe.seed, Purpose.AUGMENT, 0, 0)
    drawn = augment(copies, build_policy(recipe), 1, rng).reshape(10, DRAWS, 28, 28)
    rows = np.concatenate([images[firsts][:, None], drawn], axis=1)
    return png(sheet(rows.reshape(-1, 28, 28), 1 + DRAWS))


def hardest_sheet(oof: pd.DataFrame, images: NDArray[np.uint8]) -> bytes:
    """A PNG of out-of-fold errors, the surest first, as ``row: label, not prediction``."""
    errors = oof[oof.label != oof.predicted]
    errors = errors.assign(sure=errors[PROBA].max(axis=1))
    errors = errors.sort_values(["sure", "row"], ascending=[False, True]).head(MOST_ERRORS)
    captions = [f"{row.label}, not {row.predicted}" for row in errors.itertuples()]
    return png(sheet(images[errors.row.to_numpy()], 12, captions))
