import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning.neighbours import Neighbours


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50))
def test_the_nearest_are_those_that_sorting_all_distances_finds(
    seed: int, n_images: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    image = rng.integers(0, 256, (28, 28), dtype=np.uint8)
    places, distances = Neighbours(images).nearest(image, count)
    all_of_them = np.linalg.norm((images / 255 - image / 255).reshape(n_images, -1), axis=1)
    np.testing.assert_array_equal(places, np.argsort(all_of_them)[:count])
    np.testing.assert_allclose(distances, np.sort(all_of_them)[:count], rtol=1e-4)
