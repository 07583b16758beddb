"""Photos and drawings, brought to the form of MNIST's images."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.storage.files import StorageError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
LEAST_CONTRAST = 24  # grey levels between paper and ink, of 255
LONGEST_SIDE = 640  # pixels; a phone's photo holds no more of a digit than this
STROKE = 0.11  # of the digit's longer side: MNIST's strokes are 2 to 3 pixels of 20
SPECK = 0.05  # of the largest piece of ink: what is smaller is dirt

Floats = NDArray[np.float32]


class PictureError(StorageError):
    """No picture, or one that shows no digit."""


class NoDigitError(PictureError):
    """A picture whose ink does not stand out from its paper, or that has none."""


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture's digit as an image [28, 28] uint8.

    Raises
    ------
    StorageError
        If it is not there, no picture, or shows no digit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from None
    return picture_digit(content, str(path))


def picture_digit(content: bytes, name: str) -> NDArray[np.uint8]:
    """The digit of a PNG or JPEG file's `content` as an image [28, 28] uint8.

    Raises
    ------
    PictureError
        If it is no picture or shows no digit; the message begins with `name`.
    """
    picture = _decoded(np.frombuffer(content, dtype=np.uint8))
    if picture is None:
        raise PictureError(f"{name}: is not a PNG or JPEG picture")
    image = centred_digit(to_grey(picture))
    if image is None:
        raise NoDigitError(f"{name}: shows no digit: its ink does not stand out from its paper")
    return image


def _decoded(content: NDArray[np.uint8]) -> NDArray[np.integer] | None:
    """The picture as it is stored; None if it is none."""
    try:
        picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.ndim == 3 and picture.shape[2] == 3:
            # UNCHANGED is the one mode that leaves a phone's photo lying on its side.
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # nothing in it, or more pixels than OpenCV takes
        return None
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        return None
    decoded: NDArray[np.integer] = picture
    return decoded


def to_grey(picture: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A decoded picture (grey, colour or with transparency, 8 or 16 bit) as grey [H, W] uint8.

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
        paper = 0.0 if ink.size and ink.mean() > 127 and cover.min() < 0.5 else 255.0
        return (grey * cover + paper * (1 - cover)).round().clip(0, 255).astype(np.uint8)
    return grey.round().clip(0, 255).astype(np.uint8)


def centred_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """MNIST's own form [28, 28] uint8 of grey [H, W]; None if there is no ink to speak of.

    Light ink on black, fitted into 20x20, its centre of mass in the middle: after LeCun's
    description of MNIST. An image of 28x28 that is black but for a digit is taken as it is.
    """
    if _is_mnist_like(grey):
        return grey
    ink = ink_on_black(grey)
    if ink is None:
        return None
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _centre(_fitted(_thickened(digit)))


def ink_on_black(grey: NDArray[np.uint8]) -> Floats | None:
    """Ink up to 255 on paper 0 [H', W'], whichever was lighter before, shadows evened out."""
    small = _at_most(grey, LONGEST_SIDE)
    contrast = small.astype(np.float32) - _paper(small)
    if (contrast.astype(np.float64) ** 3).sum() < 0:  # the few and far values are the ink
        contrast = -contrast
    contrast = np.clip(contrast, 0, None)
    if contrast.max() < LEAST_CONTRAST:
        return None
    typical = float(np.median(contrast[contrast > contrast.max() / 2]))
    scaled: Floats = np.minimum(contrast * np.float32(255 / typical), np.float32(255))
    return _without_specks(scaled)


def _is_mnist_like(grey: NDArray[np.uint8]) -> bool:
    if grey.shape != (28, 28) or grey.max() < 128:
        return False
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool((rim == 0).mean() > 0.9 and (grey == 0).mean() > 0.4)


def _at_most(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(side * scale)) for side in grey.shape)  # a line stays one
    small: NDArray[np.uint8] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _paper(grey: NDArray[np.uint8]) -> Floats:
    """The paper's brightness at each place: a smooth surface through the pixels that are no ink.

    A photo's paper is brighter here than there, so one threshold would not do. The fit begins
    at the rim, where there is little ink, and leaves out what lies far from it.
    """
    values = _at_most(grey, 96).astype(np.float32)  # what is smooth needs no more
    height, width = values.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    flat = values.ravel()
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    rim = np.maximum(abs(x), abs(y)) > 0.8
    paper = np.full(flat.shape, np.median(flat[rim]))
    kept, n_terms = rim, 3
    for _ in range(6):
        off = abs(flat - paper)
        spread = max(1.5 * float(np.median(off[kept])), 1.0)
        kept = (off < 3 * spread) & (rim | (n_terms > 3))
        if kept.sum() < 30:
            break
        fit, *_ = np.linalg.lstsq(terms[kept, :n_terms], flat[kept], rcond=None)
        paper = terms[:, :n_terms] @ fit
        n_terms = 6
    surface = paper.reshape(values.shape).astype(np.float32)
    large: Floats = cv2.resize(surface, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return large


def _without_specks(contrast: Floats) -> Floats:
    """Ink only: faint noise and small specks away, soft edges kept."""
    threshold, solid = cv2.threshold(
        contrast.astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= SPECK * areas.max())
    near = cv2.dilate(np.isin(pieces, kept).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.where((near > 0) & (contrast > threshold / 4), contrast, 0).astype(np.float32)


def _thickened(digit: Floats) -> Floats:
    """Strokes too thin to survive the shrinking, brought to about MNIST's width."""
    solid = (digit > 127).astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(solid, 1), cv2.DIST_L2, 5)
    width = 4 * float(depth[depth > 0].mean()) - 2  # the mean depth of a band is a quarter of it
    missing = int(STROKE * max(digit.shape) - width)
    if width > STROKE * 0.7 * max(digit.shape) or missing < 1:
        return digit
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    thick: Floats = cv2.dilate(np.pad(digit, missing), kernel)
    return thick


def _fitted(digit: Floats) -> Floats:
    scale = 20 / max(digit.shape)
    size = (max(1, round(digit.shape[1] * scale)), max(1, round(digit.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small: Floats = cv2.resize(digit, size, interpolation=way).clip(0, None)
    return (small * (255 / max(1.0, float(small.max())))).clip(0, 255)


def _centre(small: Floats) -> NDArray[np.uint8]:
    height, width = small.shape
    total = small.sum()
    row = (small.sum(axis=1) * np.arange(height)).sum() / total
    column = (small.sum(axis=0) * np.arange(width)).sum() / total
    # Its pixels lie at 14.00, 14.01 on average in MNIST (3,000 images), not at 13.5.
    top = int(np.clip(round(14 - row), 0, 28 - height))
    left = int(np.clip(round(14 - column), 0, 28 - width))
    image = np.zeros((28, 28), dtype=np.uint8)
    image[top : top + height, left : left + width] = small.round().astype(np.uint8)
    return image
