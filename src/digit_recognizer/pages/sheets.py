"""Sheets of digits as PNG: what augmentation does, and the hardest digits."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SCALE = 2  # screen pixels for one of an image's
GAP = 4
CAPTION = 14  # pixels of height for the text under a digit
PAPER, INK = 255, 60


def sheet(
    images: NDArray[np.uint8], columns: int, captions: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Images [N, 28, 28] uint8 in rows of `columns`, each over its caption; grey [H, W]."""
    size = 28 * SCALE
    height = size + GAP + (CAPTION if captions else 0)
    rows = -(-len(images) // columns)
    page = np.full((rows * height + GAP, columns * (size + GAP) + GAP), PAPER, dtype=np.uint8)
    for place, image in enumerate(images):
        top, left = GAP + place // columns * height, GAP + place % columns * (size + GAP)
        large = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST)
        page[top : top + size, left : left + size] = 255 - large
        if captions:
            _write(page, captions[place], left, top + size + CAPTION - 3)
    return page


def _write(page: NDArray[np.uint8], text: str, left: int, bottom: int) -> None:
    cv2.putText(page, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.35, INK, 1, cv2.LINE_AA)


def png(page: NDArray[np.uint8]) -> bytes:
    """A page as PNG."""
    done, content = cv2.imencode(".png", page)
    if not done:
        raise ValueError("the page cannot be written as PNG")
    return content.tobytes()
