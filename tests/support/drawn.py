"""Digits drawn for the tests."""

import cv2
import numpy as np
from numpy.typing import NDArray


def ink(digit: int, size: tuple[int, int] = (200, 200), thickness: int = 14) -> NDArray[np.uint8]:
    """Draw a digit's ink, 255 on 0, [height, width] uint8."""
    height, width = size
    canvas = np.zeros(size, dtype=np.uint8)
    scale = min(height, width) / 36
    (wide, high), _ = cv2.getTextSize(str(digit), cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    corner = ((width - wide) // 2, (height + high) // 2)
    cv2.putText(
        canvas, str(digit), corner, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA
    )
    return canvas


def photo(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a pen's digit on unevenly lit, noisy, slightly yellow paper [300, 400, 3] uint8."""
    drawn = ink(digit, (300, 400), 9).astype(np.float32) / 255
    light = np.linspace(90, 230, 400)[None, :] * np.linspace(0.75, 1, 300)[:, None]
    grey = light * (1 - 0.75 * drawn) + rng.normal(0, 4, drawn.shape)
    return np.clip(grey[..., None] * np.array([0.85, 1, 1]), 0, 255).astype(np.uint8)
