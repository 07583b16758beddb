import base64
import re

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.pages.sprite import COLUMNS, SIDE, Sprite


@given(st.lists(st.integers(0, 60), min_size=1, max_size=120))
def test_each_digit_stands_in_the_picture_once_where_its_place_says(seeds: list[int]) -> None:
    digits = [
        np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for seed in seeds
    ]
    sprite = Sprite()
    places = [sprite.place(digit) for digit in digits]
    assert sorted(set(places)) == list(range(len(set(seeds))))
    found = re.search(r"base64,([^)]+)\)", sprite.css())
    assert found
    content = np.frombuffer(base64.b64decode(found[1]), dtype=np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    for digit, place in zip(digits, places, strict=True):
        top, left = place // COLUMNS * SIDE, place % COLUMNS * SIDE
        assert np.array_equal(picture[top : top + SIDE, left : left + SIDE], digit)
