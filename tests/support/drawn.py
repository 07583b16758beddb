"""Digits drawn for the tests."""

import struct
import zlib

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


def row_of(digits: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw digits side by side, 255 on 0, [200, 110 each] uint8."""
    return np.hstack([ink(digit)[:, 45:155] for digit in digits])


def photo(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a pen's digit on unevenly lit, noisy, slightly yellow paper [300, 400, 3] uint8."""
    drawn = ink(digit, (300, 400), 9).astype(np.float32) / 255
    light = np.linspace(90, 230, 400)[None, :] * np.linspace(0.75, 1, 300)[:, None]
    grey = light * (1 - 0.75 * drawn) + rng.normal(0, 4, drawn.shape)
    return np.clip(grey[..., None] * np.array([0.85, 1, 1]), 0, 255).astype(np.uint8)


def png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def huge_png(side: int) -> bytes:
    """A white picture, one bit a pixel: 10,000 by 10,000 are 25 kB."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * (side // 8)) * side, 9)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
