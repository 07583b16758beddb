import base64

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.report.sheets import SIDE, SPRITE_COLUMNS, Sprite


@given(st.lists(st.integers(0, 60), min_size=1, max_size=120))
def test_each_digit_stands_in_the_picture_once_where_its_index_says(seeds: list[int]) -> None:
    digits = [
        np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for seed in seeds
    ]
    sprite = Sprite()
    indexes = [sprite.index(digit) for digit in digits]
    assert sorted(set(indexes)) == list(range(len(set(seeds))))
    encoded = sprite.data_url().removeprefix("data:image/png;base64,")
    content = np.frombuffer(base64.b64decode(encoded), dtype=np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (sprite.n_rows * SIDE, SPRITE_COLUMNS * SIDE)
    for digit, index in zip(digits, indexes, strict=True):
        top, left = index // SPRITE_COLUMNS * SIDE, index % SPRITE_COLUMNS * SIDE
        assert np.array_equal(picture[top : top + SIDE, left : left + SIDE], digit)
