"""Photos and drawings of a digit, converted to the form of MNIST's images.

*Ink* are the strokes, dark or light; *paper* is the background.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer import MAX_PICTURE_PIXELS
from digit_recognizer.errors import FileError, NoDigitError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MIN_CONTRAST = 24  # grey levels between paper and ink, of 255
MAX_SIDE = 640  # pixels; a phone's photo holds no more of a digit than this
LARGEST_STROKE = 0.4  # of the picture's shorter side: pen strokes are narrower, shadows wider
STROKE_WIDTH = 0.11  # of the digit's longer side: MNIST's strokes are 2 to 3 pixels of 20
MIN_SPECK_AREA = 0.05  # of the largest piece of ink: what is smaller is dirt
MIN_HEIGHT, MIN_INNER_AREA = 0.1, 0.01  # of the picture's height, and of the largest piece
MIN_SHEET = 0.15  # of the picture's area
FAINTEST_INK = 0.4  # of the darkest
MAX_OUTLINES = 24  # of pieces of ink and holes in them, without dots; noise has hundreds
# Of ink, of the digit's longer side: 0.3 in the thickest of 21,000 digits, 0.5 in a disc.
LARGEST_DEPTH = 0.35
MIN_FRAMED_HEIGHT = 0.3  # of the frame around it

Floats = NDArray[np.float32]


def decode_digits(content: bytes, name: str) -> list[NDArray[np.uint8]]:
    """Return the digits in a picture's bytes, from left to right, as images [28, 28] uint8.

    Light ink on black, fitted into 20x20, its centre of mass in the middle: after LeCun's
    description of MNIST. An image of 28x28 that is black but for a digit is returned as it is.
    Error messages begin with `name`.
    """
    grey = _read_grey(content, name)
    if _is_normalized(grey):
        return [grey]
    digits = _split_digits(_extract_ink(grey))
    if not digits:
        raise NoDigitError(f"{name}: shows no digit: no strokes stand out from its paper")
    return [_center(_resize_to_box(_thicken(digit))) for digit in digits]


def _read_grey(content: bytes, name: str) -> NDArray[np.uint8]:
    """Return a picture as grey [H, W] uint8, turned as its EXIF orientation says."""
    packed = np.frombuffer(content, dtype=np.uint8)
    try:
        # The only way to the alpha channel; it leaves the picture as the camera held it.
        picture = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim < 3 or picture.shape[2] < 4:
            picture = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            most = f"{MAX_PICTURE_PIXELS // 1_000_000} million pixels"
            raise FileError(f"{name}: has more than {most}: send a smaller one") from None
        picture = None  # nothing in it
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise FileError(f"{name}: is not a PNG or JPEG picture")
    grey = np.asarray(picture) if picture.ndim == 2 else _without_alpha(picture)
    return _shrink(grey, MAX_SIDE)


def _without_alpha(picture: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Convert a picture [H, W, 4], 8 or 16 bit, to grey [H, W] uint8.

    What is transparent counts as paper: white, unless the ink itself is light.
    """
    # In uint8: as floats, 64 million pixels would take 8 s and 1.8 GB.
    pixels = (picture // 257 if picture.dtype == np.uint16 else picture).astype(np.uint8)
    grey, alpha = cv2.cvtColor(pixels, cv2.COLOR_BGRA2GRAY), np.ascontiguousarray(pixels[..., 3])
    ink = grey[alpha > 127]
    is_light = ink.size and ink.mean() > 127 and alpha.min() < 128
    shown = cv2.multiply(grey, alpha, scale=1 / 255)
    return np.asarray(shown if is_light else cv2.add(shown, 255 - alpha))


def _extract_ink(grey: NDArray[np.uint8]) -> Floats:
    """Return ink up to 255 on paper 0 [H', W'], all 0 where there is none.

    Paper is what remains when everything narrower than `LARGEST_STROKE` is filled in (a
    morphological closing), so that the edges of shadows and sheets, which are wider, stay paper.
    """
    small = _crop_to_sheet(grey)
    dark = small if _has_dark_ink(small) else 255 - small
    side = max(3, round(LARGEST_STROKE * min(dark.shape)))
    smooth = cv2.medianBlur(dark, 3)  # else the closing takes the brightest noise
    padded = cv2.copyMakeBorder(smooth, side, side, side, side, cv2.BORDER_REPLICATE)
    paper = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return _clean(cv2.subtract(paper[side:-side, side:-side], dark))


def _crop_to_sheet(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop to a sheet of paper, darker or lighter than what it lies on, if there is one."""
    _, light = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    for mask in (light, 255 - light):
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not outlines:
            continue
        sheet = max(outlines, key=cv2.contourArea)
        left, top, width, height = cv2.boundingRect(sheet)
        area = cv2.contourArea(sheet)
        sides = (left == 0) + (top == 0)
        sides += (left + width == grey.shape[1]) + (top + height == grey.shape[0])
        inside = mask[top : top + height, left : left + width]
        # An ellipse, such as a 0, fills 0.79 of its rectangle; a frame is hollow.
        is_sheet = area > 0.85 * math.prod(cv2.minAreaRect(sheet)[1]) and (inside > 0).mean() > 0.6
        holds_ink = (inside == 0).mean() > 0.01
        if sides <= 1 and area > MIN_SHEET * grey.size and is_sheet and holds_ink:
            rim = round(0.04 * min(width, height))
            return grey[top + rim : top + height - rim, left + rim : left + width - rim]
    return grey


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


def _has_dark_ink(grey: NDArray[np.uint8]) -> bool:
    """Return whether the ink is darker than its paper: ink is few values, far from the median.

    They are compared with the median around them, which keeps the edges of shadows.
    """
    values = _shrink(grey, 160)
    window = max(3, round(max(values.shape) / 2) | 1)
    residual = values.astype(np.float64) - cv2.medianBlur(values, window)
    return bool((residual**3).sum() < 0)


def _clean(contrast: NDArray[np.uint8]) -> Floats:
    """Keep the pieces of ink that can be digits, with their soft edges; all else becomes 0."""
    nothing = np.zeros(contrast.shape, dtype=np.float32)
    if contrast.max() < MIN_CONTRAST:
        return nothing
    threshold, _ = cv2.threshold(contrast, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # Ruled lines are fainter than ink; in a shadow, ink has half the contrast that it has in light.
    threshold = max(threshold, FAINTEST_INK * float(np.percentile(contrast, 99.5)))
    solid = (contrast > threshold).astype(np.uint8)
    _, components, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    kept = 1 + np.flatnonzero(_can_be_digits(stats[1:], contrast.shape))
    pieces = np.isin(components, kept).astype(np.uint8)
    outlines, _ = cv2.findContours(pieces, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if sum(len(outline) > 12 for outline in outlines) > MAX_OUTLINES:
        return nothing
    near = cv2.dilate(pieces, np.ones((3, 3), np.uint8))
    ink = np.where((near > 0) & (contrast > threshold / 4), contrast, 0).astype(np.float32)
    typical = float(np.median(ink[ink > ink.max() / 2]))
    return np.asarray(np.minimum(ink * np.float32(255 / typical), np.float32(255)))


def _can_be_digits(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which components [N] are not the picture's edge, a frame or a speck."""
    left, top, width, height, area = stats.T
    right, bottom = left + width, top + height
    inner = (left > 0) & (top > 0) & (right < shape[1]) & (bottom < shape[0])
    large = area >= MIN_SPECK_AREA * area.max()
    # What touches the rim is a table, a shadow or the sheet's edge, if a digit lies apart from it.
    apart = inner & (height >= MIN_HEIGHT * shape[0]) & (area >= MIN_INNER_AREA * area.max())
    kept = inner if apart.any() else np.ones(len(stats), dtype=np.bool_)
    inside = (left[:, None] < left) & (top[:, None] < top)  # [frame, framed]
    inside &= (right[:, None] > right) & (bottom[:, None] > bottom)
    inside &= (height >= MIN_FRAMED_HEIGHT * height[:, None]) & kept & large
    kept &= ~inside.any(axis=1)
    return np.asarray(kept & (area >= MIN_SPECK_AREA * area[kept].max()))


def _split_digits(ink: Floats) -> list[Floats]:
    """Cut ink [H, W] into digits, from left to right, at the columns without ink.

    A stroke over or under another belongs to the same digit, and so does one beside it that is
    less than half as high as the highest: the bar of a 5, the dot of an i.
    """
    columns = np.flatnonzero(np.diff(np.concatenate([[0], ink.any(axis=0), [0]])))
    digits = []
    for left, right in columns.reshape(-1, 2):
        rows = np.flatnonzero(ink[:, left:right].any(axis=1))
        digit = ink[rows[0] : rows[-1] + 1, left:right]
        if _depth(digit).max() <= LARGEST_DEPTH * max(digit.shape):  # no disc and no square
            digits.append(digit)
    highest = max((digit.shape[0] for digit in digits), default=0)
    return [digit for digit in digits if digit.shape[0] >= highest / 2]


def _depth(digit: Floats) -> Floats:
    """Return the distance of each pixel of ink from the paper."""
    solid = np.pad((digit > 127).astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(solid, cv2.DIST_L2, 5))


def _thicken(digit: Floats) -> Floats:
    """Widen strokes too thin to survive the shrinking to about MNIST's width."""
    depth = _depth(digit)
    if not depth.any():
        return digit
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
