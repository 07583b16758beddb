"""Photos and drawings of a digit, converted to the form of MNIST's images.

*Ink* are the strokes, dark or light; *paper* is the background.
"""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer import MAX_PICTURE_PIXELS
from digit_recognizer.errors import FileError, ImageError, NoDigitError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
JPEG_START = b"\xff\xd8"
EXIF_ORIENTATION = re.compile(
    rb"\x01\x12\0\x03\0{3}\x01\0(.)|\x12\x01\x03\0\x01\0{3}(.)", re.DOTALL
)
MIN_CONTRAST = 24  # grey levels between paper and ink, of 255
MAX_SIDE = 640  # pixels; a phone's photo holds no more of a digit than this
STROKE_WIDTH = 0.11  # of the digit's longer side: MNIST's strokes are 2 to 3 pixels of 20
MIN_SPECK_AREA = 0.05  # of the largest piece of ink: what is smaller is dirt

Floats = NDArray[np.float32]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the digit in a PNG or JPEG file as an image [28, 28] uint8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    return decode_digit(content, str(path))


def decode_digit(content: bytes, name: str) -> NDArray[np.uint8]:
    """Return the digit in a PNG or JPEG file's `content` as an image [28, 28] uint8.

    Error messages begin with `name`.
    """
    image = normalize_digit(to_grey(_decode(content, name)))
    if image is None:
        raise NoDigitError(f"{name}: shows no digit: its ink does not stand out from its paper")
    return image


def _decode(content: bytes, name: str) -> NDArray[np.integer]:
    """Return the picture with the channels and depth of the file, as its EXIF orientation says."""
    buffer = np.frombuffer(content, dtype=np.uint8)
    try:
        picture = cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)  # drops alpha
        if picture is not None and not content.startswith(JPEG_START):
            unchanged = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)  # ignores the orientation
            if unchanged is not None and unchanged.ndim == 3 and unchanged.shape[2] == 4:
                picture = _upright(unchanged, content)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise ImageError(
                f"{name}: has more than {MAX_PICTURE_PIXELS // 1_000_000} million pixels: send a"
                " smaller one"
            ) from None
        picture = None  # nothing in it
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name}: is not a PNG or JPEG picture")
    return np.asarray(picture)


def _upright(picture: NDArray[np.integer], content: bytes) -> NDArray[np.integer]:
    """Return a picture [H, W, C] turned and mirrored as the EXIF data of its file say."""
    found = EXIF_ORIENTATION.search(content)
    orientation = (found[1] or found[2])[0] if found else 1
    if orientation > 4:
        picture = picture.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(picture[::rows, ::columns])


def to_grey(picture: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Convert a picture (grey, BGR or BGRA, 8 or 16 bit) to grey [H, W] uint8.

    What is transparent counts as paper: white, unless the ink itself is light.
    """
    if picture.dtype == np.uint16:
        picture = picture // 257
    pixels = picture.astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        return pixels
    grey = np.asarray(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY))
    if pixels.shape[2] == 3:
        return grey
    alpha = pixels[..., 3] / np.float32(255)
    ink = grey[alpha > 0.5]
    paper = 0 if ink.size and ink.mean() > 127 and alpha.min() < 0.5 else 255
    return np.asarray((grey * alpha + paper * (1 - alpha)).round().clip(0, 255).astype(np.uint8))


def normalize_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Convert grey [H, W] to MNIST's form [28, 28] uint8; None if there is no ink.

    Light ink on black, fitted into 20x20, its centre of mass in the middle: after LeCun's
    description of MNIST. An image of 28x28 that is black but for a digit is returned as it is.
    """
    if _is_normalized(grey):
        return grey
    ink = extract_ink(grey)
    if ink is None:
        return None
    rows, columns = np.nonzero(ink)
    digit = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _center(_resize_to_box(_thicken(digit)))


def extract_ink(grey: NDArray[np.uint8]) -> Floats | None:
    """Return ink up to 255 on paper 0 [H', W'], shadows evened out; None if there is no ink."""
    small = _shrink(grey, MAX_SIDE)
    contrast = small.astype(np.float32) - _paper_brightness(small)
    if (contrast.astype(np.float64) ** 3).sum() < 0:  # the few and far values are the ink
        contrast = -contrast
    contrast = np.clip(contrast, 0, None)
    if contrast.max() < MIN_CONTRAST:
        return None
    typical = float(np.median(contrast[contrast > contrast.max() / 2]))
    scaled: Floats = np.minimum(contrast * np.float32(255 / typical), np.float32(255))
    return _remove_specks(scaled)


def _is_normalized(grey: NDArray[np.uint8]) -> bool:
    if grey.shape != (28, 28) or grey.max() < 128:
        return False
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool((rim == 0).mean() > 0.9 and (grey == 0).mean() > 0.4)


def _shrink(grey: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    scale = max_side / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))


def _paper_brightness(grey: NDArray[np.uint8]) -> Floats:
    """Return the paper's brightness at each pixel: a quadratic surface through the paper.

    A photo's paper is brighter here than there, so one threshold would not do. The fit begins
    at the rim, where there is little ink, and leaves out pixels far from it.
    """
    values = _shrink(grey, 96).astype(np.float32)  # a smooth surface needs no more
    height, width = values.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    flat = values.ravel()
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    rim = np.maximum(abs(x), abs(y)) > 0.8
    paper = np.full(flat.shape, np.median(flat[rim]))
    is_paper, n_terms = rim, 3
    for _ in range(6):
        residuals = abs(flat - paper)
        deviation = max(1.5 * float(np.median(residuals[is_paper])), 1.0)
        is_paper = (residuals < 3 * deviation) & (rim | (n_terms > 3))
        if is_paper.sum() < 30:
            break
        fit, *_ = np.linalg.lstsq(terms[is_paper, :n_terms], flat[is_paper], rcond=None)
        paper = terms[:, :n_terms] @ fit
        n_terms = 6
    surface = paper.reshape(values.shape).astype(np.float32)
    return np.asarray(cv2.resize(surface, grey.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _remove_specks(contrast: Floats) -> Floats:
    """Set faint noise and small specks to 0 and keep soft edges."""
    threshold, solid = cv2.threshold(
        contrast.astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    _, components, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= MIN_SPECK_AREA * areas.max())
    near = cv2.dilate(np.isin(components, kept).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.where((near > 0) & (contrast > threshold / 4), contrast, 0).astype(np.float32)


def _thicken(digit: Floats) -> Floats:
    """Widen strokes too thin to survive the shrinking to about MNIST's width."""
    solid = (digit > 127).astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(solid, 1), cv2.DIST_L2, 5)
    width = 4 * float(depth[depth > 0].mean()) - 2  # the mean depth of a band is a quarter of it
    missing = int(STROKE_WIDTH * max(digit.shape) - width)
    if width > STROKE_WIDTH * 0.7 * max(digit.shape) or missing < 1:
        return digit
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    return np.asarray(cv2.dilate(np.pad(digit, missing), kernel))


def _resize_to_box(digit: Floats) -> Floats:
    """Resize a digit to a longer side of 20 pixels and its ink to a maximum of 255."""
    scale = 20 / max(digit.shape)
    size = (max(1, round(digit.shape[1] * scale)), max(1, round(digit.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small: Floats = cv2.resize(digit, size, interpolation=interpolation).clip(0, None)
    return (small * (255 / max(1.0, float(small.max())))).clip(0, 255)


def _center(small: Floats) -> NDArray[np.uint8]:
    """Place a digit with its centre of mass in the middle of an image [28, 28] uint8."""
    height, width = small.shape
    row = (small.sum(axis=1) * np.arange(height)).sum() / small.sum()
    column = (small.sum(axis=0) * np.arange(width)).sum() / small.sum()
    # Its pixels lie at 14.00, 14.01 on average in MNIST (3,000 images), not at 13.5.
    top = int(np.clip(round(14 - row), 0, 28 - height))
    left = int(np.clip(round(14 - column), 0, 28 - width))
    image = np.zeros((28, 28), dtype=np.uint8)
    image[top : top + height, left : left + width] = small.round().astype(np.uint8)
    return image
