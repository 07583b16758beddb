"""Predictions for `make play`: a run's networks and training digits, kept in memory."""

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError
from digit_recognizer.report.figures import data_url
from digit_recognizer.runs.answering import doubt, load_networks
from digit_recognizer.runs.ensemble import data_of
from digit_recognizer.runs.predictions import blend_proba, mean_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.predict import predict_logits

logger = logging.getLogger(__name__)

N_NEIGHBOURS = 10


@dataclass(frozen=True)
class Neighbour:
    """A training digit: its row (from 0), its label, and its image as a data URL."""

    row: int
    label: int
    image: str


@dataclass(frozen=True)
class Reading:
    """The answer for one digit of a picture, in values that JSON knows.

    ``image`` is what the networks get, as a data URL; ``proba`` [10] is the ensemble's, ``members``
    [K, 10] each network's; ``neighbours`` are the nearest first.
    """

    image: str
    label: int
    doubt: str
    proba: list[float]
    members: list[list[float]]
    neighbours: list[Neighbour]


class TrainingDigits:
    """Nearest neighbours among images [N, 28, 28] uint8 with labels [N], by brute force."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> None:
        self._images, self._labels = images, labels
        # 5 ms of one core for 42,000 images; scikit-learn's NearestNeighbors (brute) takes 23 ms.
        self._matcher = cv2.BFMatcher(cv2.NORM_L2)
        self._matcher.add([_flatten(images)])

    def nearest(self, image: NDArray[np.uint8], count: int) -> list[Neighbour]:
        """Return the `count` digits nearest to an image [28, 28]; of equal ones, earlier rows."""
        (matches,) = self._matcher.knnMatch(_flatten(image[None]), count)
        rows = [match.trainIdx for match in matches]
        return [Neighbour(r, int(self._labels[r]), data_url(self._images[r])) for r in rows]


def _flatten(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32)


class Predictor:
    """A run's ensemble and training digits, in memory, for one picture at a time.

    Without the run's training data in `data_dir`, a warning is logged and no neighbours are found.
    """

    def __init__(self, run: Run, data_dir: Path) -> None:
        # For small networks and one image, a GPU is no faster.
        (self._device,) = find_devices("cpu")
        self._parts = load_networks(run, self._device)
        try:
            data = data_of(run, data_dir)
        except FileError as error:
            logger.warning("note: no nearest training digits: %s", error)
            self._digits = None
        else:
            self._digits = TrainingDigits(data.images, data.labels)

    def predict(self, picture: bytes) -> list[Reading]:
        """Predict the digits of a PNG or JPEG picture, from left to right."""
        return [self._read(image) for image in decode_digits(picture, "The picture")]

    def _read(self, image: NDArray[np.uint8]) -> Reading:
        logits = [
            [predict_logits(network, image[None], recipe, self._device) for network, recipe in part]
            for part in self._parts
        ]
        proba = blend_proba(logits)[0]
        return Reading(
            image=data_url(image),
            label=int(proba.argmax()),
            doubt=doubt(proba),
            proba=proba.tolist(),
            members=[mean_proba([one])[0].tolist() for part in logits for one in part],
            neighbours=self._digits.nearest(image, N_NEIGHBOURS) if self._digits else [],
        )
