"""Photos and drawings, brought to the form of MNIST's images."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.storage.files import StorageError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
LEAST_CONTRAST = 24  # grey levels between paper and ink, of 255


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture's digit as an image [28, 28] uint8.

    Raises
    ------
    StorageError
        If it is not there, no picture, or shows no digit.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from None
    picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if picture is None:
        raise StorageError(f"{path}: is not a PNG or JPEG picture")
    image = centred_digit(to_grey(picture))
    if image is None:
        raise StorageError(f"{path}: shows no digit: its ink does not stand out from its paper")
    return image


def to_grey(picture: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A decoded picture (grey, colour or with transparency) as grey [H, W] uint8.

    What is transparent counts as paper: white, unless the ink itself is light.
    """
    if picture.dtype == np.uint16:
        picture = picture // 257
    pixels = picture.astype(np.float32)
    if pixels.ndim == 2:
        return pixels.astype(np.uint8)
    grey = pixels[..., :3] @ np.array([0.114, 0.587, 0.299], dtype=np.float32)  # blue first
    if pixels.shape[2] == 4:
        cover = pixels[..., 3] / 255
        ink = grey[cover > 0.5]
        paper = 0.0 if ink.size and ink.mean() > 127 else 255.0
        grey = grey * cover + paper * (1 - cover)
    return grey.round().astype(np.uint8)


def centred_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """MNIST's own form: light ink on black, fitted into 20x20, its centre of mass central.

    After LeCun's description of MNIST. An image of 28x28 that already has dark borders is
    taken as it is. None if there is no ink to speak of.
    """
    light = ink_on_black(grey)
    if light is None:
        return None
    if grey.shape == (28, 28) and _is_mnist_like(grey):
        return grey
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    digit = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(digit.shape)
    size = (max(1, round(digit.shape[1] * scale)), max(1, round(digit.shape[0] * scale)))
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(digit, size, interpolation=shrinks).astype(np.float32)
    small *= 255 / max(1.0, float(small.max()))
    return _centre(np.clip(small, 0, 255))


def ink_on_black(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Ink light, paper 0, whichever was lighter before; shadows on the paper are evened out."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    values = grey.astype(np.float32)
    if np.median(border) > 127 or (np.median(border) > grey.mean() + 1):
        values = 255 - values
    if min(grey.shape) > 64:
        # A photo's paper is brighter here than there: take off what is broad and smooth.
        values -= cv2.GaussianBlur(values, (0, 0), max(grey.shape) / 6)
    values -= np.median(values)
    values = np.clip(values, 0, None)
    if values.max() < LEAST_CONTRAST:
        return None
    scaled = (values / values.max() * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_OTSU)
    scaled[scaled < threshold / 2] = 0
    return scaled


def _is_mnist_like(grey: NDArray[np.uint8]) -> bool:
    edge = np.concatenate([grey[:2].ravel(), grey[-2:].ravel()])
    return bool((edge == 0).all())


def _centre(small: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = small.shape
    total = small.sum()
    row = (small.sum(axis=1) * np.arange(height)).sum() / total
    column = (small.sum(axis=0) * np.arange(width)).sum() / total
    top = int(np.clip(round(13.5 - row), 0, 28 - height))
    left = int(np.clip(round(13.5 - column), 0, 28 - width))
    image = np.zeros((28, 28), dtype=np.uint8)
    image[top : top + height, left : left + width] = small.round().astype(np.uint8)
    return image
