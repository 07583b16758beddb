import numpy as np
import pytest

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import load_network, new_network
from digit_recognizer.learning.predict import predict_logits
from digit_recognizer.learning.reader import ImageReader
from digit_recognizer.learning.recipe import Recipe

CPU = Placement("cpu", "fp32")


@pytest.mark.parametrize("gain", [1, 1000])  # an untrained network doubts, a louder one is sure
@pytest.mark.parametrize("changes", [{}, {"tta": 1}, {"scaling": "image", "crop": 24}])
def test_one_image_is_read_as_many_are(changes: dict[str, object], gain: int) -> None:
    recipe = Recipe(**changes)
    rng = np.random.default_rng(0)
    weights = {key: v.numpy() for key, v in new_network(recipe.network, rng).state_dict().items()}
    last = list(weights)[-2]  # of the last layer, before its bias
    weights[last] *= gain
    network = load_network(recipe.network, weights, CPU)
    reader = ImageReader(recipe, weights, CPU)
    for image in rng.integers(0, 256, (3, 28, 28), dtype=np.uint8):
        expected = predict_logits(network, image[None], recipe, CPU)
        np.testing.assert_allclose(reader.logits(image), expected, rtol=1e-4, atol=1e-5)
