"""Handwritten digits as strokes of points (x, y), each from 0 to 1."""

import cv2
import numpy as np

STROKES = {
    0: [[(0.5, 0.2), (0.36, 0.27), (0.29, 0.45), (0.3, 0.63), (0.4, 0.78), (0.54, 0.8), (0.67, 0.7), (0.71, 0.5), (0.67, 0.3), (0.5, 0.2)]],
    1: [[(0.5, 0.2), (0.49, 0.5), (0.47, 0.8)]],
    4: [[(0.4, 0.2), (0.3, 0.5), (0.68, 0.52)], [(0.62, 0.2), (0.6, 0.5), (0.56, 0.82)]],
    7: [[(0.3, 0.24), (0.5, 0.22), (0.7, 0.23), (0.6, 0.45), (0.5, 0.65), (0.43, 0.82)]],
}  # fmt: skip


def png(digit: int | None, side: int = 224) -> bytes:
    """Return a digit in black on a transparent canvas as PNG; None draws nothing."""
    canvas = np.zeros((side, side, 4), dtype=np.uint8)
    for stroke in STROKES.get(digit, []) if digit is not None else []:
        points = np.round(np.array(stroke) * side).astype(np.int32)
        cv2.polylines(canvas, [points], False, (17, 17, 17, 255), side // 14, cv2.LINE_AA)
    return encoded(canvas)


def encoded(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()
