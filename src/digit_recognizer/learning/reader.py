"""A network kept in memory, to read one image at a time, at once."""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import load_network
from digit_recognizer.learning.predict import is_sure, prepare, views
from digit_recognizer.learning.recipe import Recipe


class ImageReader:
    """A trained network with the views, scaling and crop of its recipe.

    All views of an image pass the network as one batch: six default networks take 7 ms on one
    core, where `predict_logits`, made for many images, takes 23 ms for one that leaves doubt.
    """

    def __init__(
        self, recipe: Recipe, weights: Mapping[str, NDArray[np.generic]], placement: Placement
    ) -> None:
        self._recipe, self._placement = recipe, placement
        self._network = load_network(recipe.network, weights, placement)

    @torch.inference_mode()
    def logits(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits [1, 10] of an image [28, 28], as `predict_logits` takes them from its views."""
        recipe, pixels = self._recipe, torch.from_numpy(image[None])
        batch = prepare(torch.cat(views(pixels, recipe)), self._placement, recipe.scaling)
        with self._placement.autocast():
            logits = self._network(batch.to(self._placement.device)).float()  # [views, 10]
        alone = logits[:1]
        result = alone if is_sure(alone) else logits.mean(0, keepdim=True)
        array: NDArray[np.float32] = result.cpu().numpy()
        return array


def keep_to_one_core() -> None:
    """Keep torch, OpenCV and numpy from starting threads for the work of milliseconds.

    Beside other programs, two threads wait for each other: half of the answers took more than
    250 ms instead of 22 to 39, and now and then one took more than two seconds.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    threadpool_limits(1)
