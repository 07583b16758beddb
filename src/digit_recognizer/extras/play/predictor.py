"""Predictions for `make play`: a run's networks and training digits, kept in memory."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError
from digit_recognizer.runs.answering import trained_members
from digit_recognizer.runs.ensemble import data_of
from digit_recognizer.runs.predictions import blend_proba, mean_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import Member
from digit_recognizer.training.predict import is_confident, normalize, views
from digit_recognizer.training.recipe import Recipe

logger = logging.getLogger(__name__)

# An answer takes 30 ms of one core with six of the default networks: 9 to find the digit, 15 for
# the networks, 5 for the neighbours. Twice as many networks still answer within 100 ms.
MAX_MEMBERS = 12
N_NEIGHBOURS = 10


@dataclass(frozen=True)
class Neighbour:
    """A training digit: its row (from 0), label, distance, and image [28, 28] uint8."""

    row: int
    label: int
    distance: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """The prediction for one digit of a picture.

    ``image`` [28, 28] uint8 is what the networks get; ``proba`` [10] is the ensemble's,
    ``members`` [K, 10] each network's; ``neighbours`` are the nearest first.
    """

    image: NDArray[np.uint8]
    proba: NDArray[np.float64]
    members: NDArray[np.float64]
    neighbours: Sequence[Neighbour]


def limit_threads() -> None:
    """Limit torch, OpenCV and numpy to one thread.

    Next to other programs, two threads wait for each other: half of the answers took more than
    250 ms instead of 22 to 39, and a few took more than two seconds.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    threadpool_limits(1)


class TrainingDigits:
    """Nearest neighbours among images [N, 28, 28] uint8 with labels [N], by brute force."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> None:
        self._images, self._labels = images, labels
        self._pixels = _flatten(images)
        # 5 ms of one core for 42,000 images; scikit-learn's NearestNeighbors (brute) takes 23 ms.
        self._matcher = cv2.BFMatcher(cv2.NORM_L2)

    def nearest(self, image: NDArray[np.uint8], count: int) -> list[Neighbour]:
        """Return the `count` training digits nearest to an image [28, 28], the nearest first.

        The distance is Euclidean, over pixels from 0 to 1; of equal ones the earlier row is first.
        """
        (matches,) = self._matcher.knnMatch(_flatten(image[None]), self._pixels, count)
        rows = [match.trainIdx for match in matches]
        labels, images = self._labels[rows].tolist(), self._images[rows]
        return [*map(Neighbour, rows, labels, (match.distance for match in matches), images)]


def _flatten(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


@torch.inference_mode()
def predict_image(
    network: nn.Module, image: NDArray[np.uint8], recipe: Recipe, device: Device
) -> NDArray[np.float32]:
    """Return the logits [1, 10] of one image [28, 28] uint8 on the CPU, as `predict_logits` does.

    All views pass through the network as one batch: six default networks take 15 ms of one core.
    `predict_logits`, made for many images, takes 49 ms where all views are needed.
    """
    batch = torch.cat(views(torch.from_numpy(image[None]), recipe))  # [tta, 28, 28]
    with device.autocast():
        logits = network(normalize(batch, device, recipe.scaling)).float()  # [tta, 10]
    unshifted = logits[:1]
    result = unshifted if is_confident(unshifted) else logits.mean(0, keepdim=True)
    array: NDArray[np.float32] = result.numpy()
    return array


class Predictor:
    """A run's ensemble and training digits, in memory, for one picture at a time.

    Parameters
    ----------
    run : a finished run
    data_dir : folder of datasets; without the run's own, no neighbours are found

    Attributes
    ----------
    n_members : members of the run; at most `MAX_MEMBERS` of them predict
    member_names : those that predict, such as ``fold0-seed0``; of a blend, ``run/fold0-seed0``
    """

    def __init__(self, run: Run, data_dir: Path) -> None:
        parts = run.parts()
        trained = [trained_members(part) for part in parts]
        selected = list(zip(parts, select_members(trained, MAX_MEMBERS), strict=True))
        self.n_members = sum(map(len, trained))
        self.member_names = [
            f"{part.name}/{member.name}" if len(parts) > 1 else member.name
            for part, members in selected
            for member in members
        ]
        self._parts = [
            [_load_member(part, m) for m in members] for part, members in selected if members
        ]
        self._digits = _load_digits(run, data_dir)
        self._lock = threading.Lock()  # two predictions at a time would each take twice as long

    def predict(self, picture: bytes) -> list[Reading]:
        """Predict the digits of a PNG or JPEG picture, from left to right."""
        with self._lock:
            return [self._read(image) for image in decode_digits(picture, "the picture")]

    def _read(self, image: NDArray[np.uint8]) -> Reading:
        logits = [[predict(image) for predict in part] for part in self._parts]
        return Reading(
            image=image,
            proba=blend_proba(logits)[0],
            members=np.concatenate([mean_proba([one]) for part in logits for one in part]),
            neighbours=self._digits.nearest(image, N_NEIGHBOURS) if self._digits else [],
        )


def select_members(parts: Sequence[Sequence[Member]], limit: int) -> list[list[Member]]:
    """Pick at most `limit` members, round-robin over the parts."""
    turns = [(turn, part) for part, members in enumerate(parts) for turn in range(len(members))]
    selected: list[list[Member]] = [[] for _ in parts]
    for turn, part in sorted(turns)[:limit]:
        selected[part].append(parts[part][turn])
    return selected


def _load_member(part: Run, member: Member) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    recipe = part.recipe()
    (device,) = find_devices("cpu")  # for small networks and one image, a GPU is no faster
    network = part.load_network(member, device)
    return lambda image: predict_image(network, image, recipe, device)


def _load_digits(run: Run, data_dir: Path) -> TrainingDigits | None:
    """Load the rows that the run was trained on; warn and return None where they are missing."""
    try:
        data = data_of(run, data_dir)
    except FileError as error:
        logger.warning("note: no nearest training digits: %s", error)
        return None
    return TrainingDigits(data.images, data.labels)
