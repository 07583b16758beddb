"""Digits in a page: all in one picture, shown piece by piece."""

import base64

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.pages.sheets import png

COLUMNS = 40
SIDE = 28


class Sprite:
    """Collects digits [28, 28] uint8; the same digit is kept once."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def place(self, image: NDArray[np.uint8]) -> int:
        """Where a digit stands, from 0, row by row."""
        return self._places.setdefault(image.tobytes(), len(self._places))

    def html(self, image: NDArray[np.uint8], meaning: str) -> str:
        """A digit as an HTML element that says `meaning` to a screen reader; "" is decoration."""
        place = self.place(image)
        role = f'role="img" aria-label="{meaning}"' if meaning else 'aria-hidden="true"'
        at = f"--x:{place % COLUMNS};--y:{place // COLUMNS}"
        return f'<span class="digit" style="{at}" {role}></span>'

    def css(self) -> str:
        """The style that brings the picture: a PNG inside of the page itself."""
        tiles = np.frombuffer(b"".join(self._places), dtype=np.uint8).reshape(-1, SIDE, SIDE)
        n_rows = max(1, -(-len(tiles) // COLUMNS))
        grid = np.zeros((n_rows * COLUMNS, SIDE, SIDE), dtype=np.uint8)
        grid[: len(tiles)] = tiles
        picture = grid.reshape(n_rows, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
        text = base64.b64encode(png(picture.reshape(n_rows * SIDE, -1))).decode()
        size = f"calc({COLUMNS} * var(--size)) calc({n_rows} * var(--size))"
        return (
            f".digit {{ background-image: url(data:image/png;base64,{text});"
            f" background-size: {size}; }}"
        )
