"""Predictions for `make play`: a run's networks and training digits, kept in memory."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError
from digit_recognizer.report.figures import data_url
from digit_recognizer.runs.ensemble import load_run_data
from digit_recognizer.runs.inference import load_networks, uncertainty
from digit_recognizer.runs.predictions import blend_proba, mean_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.predict import predict_logits

logger = logging.getLogger(__name__)

N_NEIGHBOURS = 10


class TrainingDigits:
    """Nearest neighbours among images [N, 28, 28] uint8 with labels [N], by brute force."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> None:
        self._images, self._labels = images, labels
        # 5 ms of one core for 42,000 images; scikit-learn's NearestNeighbors (brute) takes 23 ms.
        self._matcher = cv2.BFMatcher(cv2.NORM_L2)
        self._matcher.add([_flatten(images)])

    def nearest(self, image: NDArray[np.uint8], count: int) -> list[dict[str, Any]]:
        """Return row, label and image (a data URL) of the digits nearest to an image [28, 28].

        There are at most `count`, the nearest first, and of equal ones earlier rows.
        """
        (matches,) = self._matcher.knnMatch(_flatten(image[None]), count)
        rows = [match.trainIdx for match in matches]
        return [
            {"row": row, "label": int(self._labels[row]), "image": data_url(self._images[row])}
            for row in rows
        ]


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
        self._digits = None
        try:
            data = load_run_data(run, data_dir)
            self._digits = TrainingDigits(data.images, data.labels)
        except FileError as error:
            logger.warning("note: no nearest training digits: %s", error)

    def predict(self, picture: bytes) -> list[dict[str, Any]]:
        """Predict the digits of a PNG or JPEG picture, from left to right, as JSON values.

        Of each: ``image``, what the networks get, as a data URL; ``label``; ``uncertainty``, a note
        where it is not sure; ``proba`` [10] of the ensemble; ``members`` [K, 10] of each network;
        ``neighbours``, the nearest first.
        """
        return [self._read(image) for image in decode_digits(picture, "The picture")]

    def _read(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        logits = [
            [predict_logits(network, image[None], recipe, self._device) for network, recipe in part]
            for part in self._parts
        ]
        proba = blend_proba(logits)[0]
        return {
            "image": data_url(image),
            "label": int(proba.argmax()),
            "uncertainty": uncertainty(proba),
            "proba": proba.tolist(),
            "members": [mean_proba([one])[0].tolist() for part in logits for one in part],
            "neighbours": self._digits.nearest(image, N_NEIGHBOURS) if self._digits else [],
        }
