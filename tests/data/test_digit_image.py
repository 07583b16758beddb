"""A digit drawn with any means becomes an image in the form of MNIST's."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.complaint import complaint
from support.drawn import huge_png, ink, photo, row_of

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError, NoDigitError

DIGITS = (2, 4, 5, 7, 8)


def read_digits(picture: np.ndarray, suffix: str = ".png") -> list[np.ndarray]:
    return decode_digits(cv2.imencode(suffix, picture)[1].tobytes(), "it")


def read_image(picture: np.ndarray, suffix: str = ".png") -> np.ndarray:
    """The only digit of a picture."""
    (digit,) = read_digits(picture, suffix)
    return digit


def transparent(digit: int, colour: int) -> np.ndarray:
    picture = np.full((200, 200, 4), colour, dtype=np.uint8)
    picture[..., 3] = ink(digit)
    return picture


def coloured(digit: int) -> np.ndarray:
    """Dark blue ink on yellow paper."""
    cover = ink(digit)[..., None] / 255
    return (cover * [120, 30, 20] + (1 - cover) * [80, 220, 240]).astype(np.uint8)


def with_dirt(digit: int) -> np.ndarray:
    picture = 255 - ink(digit)
    picture[3:5, 3:5] = 0
    picture[-6:-4, -9:-7] = 0
    return picture


FORMS = {
    "dark on light": lambda digit: 255 - ink(digit),
    "light on dark": ink,
    "grey on grey": lambda digit: (130 - ink(digit) * 0.3).astype(np.uint8),
    "light on grey": lambda digit: (150 + ink(digit) * 0.3).astype(np.uint8),
    "black ink, transparent paper": lambda digit: transparent(digit, 0),
    "white ink, transparent paper": lambda digit: transparent(digit, 255),
    "16 bit, transparent paper": lambda digit: transparent(digit, 0).astype(np.uint16) * 257,
    "black and white": lambda digit: (ink(digit) < 128).astype(np.uint8) * 255,
    "colour as JPEG": coloured,
    "a shaded photo as JPEG": lambda digit: photo(digit, np.random.default_rng(digit)),
    "specks of dirt": with_dirt,
    "wide": lambda digit: 255 - ink(digit, (100, 400)),
    "tall": lambda digit: 255 - ink(digit, (400, 100)),
    "large as JPEG": lambda digit: 255 - ink(digit, (1500, 2000), 100),
    "in a corner": lambda digit: ~np.pad(ink(digit), ((0, 300), (0, 300))),
    "28x28, dark on light": lambda digit: (
        ~cv2.resize(ink(digit), (28, 28), interpolation=cv2.INTER_AREA)
    ),
}


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two images, at the best shift within a pixel: the centre is rounded."""
    moves = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    moved = [np.roll(a, move, axis=(0, 1)).ravel() for move in moves]
    return max(float(np.corrcoef(image, b.ravel())[0, 1]) for image in moved)


@pytest.fixture(scope="module")
def plain() -> dict[int, np.ndarray]:
    """Each digit, read from a plain drawing."""
    return {digit: read_image(ink(digit)) for digit in range(10)}


def recognized(image: np.ndarray, plain: dict[int, np.ndarray]) -> int:
    """The digit whose plain drawing an image is most like, and very much so."""
    best = max(plain, key=lambda digit: likeness(image, plain[digit]))
    assert likeness(image, plain[best]) > 0.85
    return best


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_of_any_form_becomes_the_same_digit_in_mnists_form(
    form: str, plain: dict[int, np.ndarray]
) -> None:
    for digit in DIGITS:
        image = read_image(FORMS[form](digit), ".jpg" if form.endswith("JPEG") else ".png")
        assert (image.shape, image.dtype) == ((28, 28), np.uint8)
        assert recognized(image, plain) == digit
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        weights = image[rows, columns]
        assert abs(np.average(rows, weights=weights) - 14) <= 0.75
        assert abs(np.average(columns, weights=weights) - 14) <= 0.75
        assert image.max() > 240
        assert np.median(image) == 0


def test_thin_strokes_become_as_thick_as_a_pens() -> None:
    picture = np.full((500, 500), 255, dtype=np.uint8)
    seven = np.array([[120, 80], [380, 80], [220, 420]])
    cv2.polylines(picture, [seven], isClosed=False, color=0, thickness=1)
    image = read_image(picture)
    assert (image[14] > 100).sum() in (2, 3)
    assert image.max() > 240


@pytest.mark.parametrize("colour", [0, 255])
def test_thin_strokes_of_a_large_transparent_picture_are_not_lost(colour: int) -> None:
    alpha = np.zeros((3000, 3000), dtype=np.uint8)
    cv2.polylines(alpha, [np.array([[900, 700], [2100, 700], [1300, 2300]])], False, 255, 2)
    drawn = np.dstack([np.where(alpha > 0, colour, 255 - colour)] * 3 + [alpha]).astype(np.uint8)
    np.testing.assert_allclose(read_image(drawn), read_image(255 - alpha), atol=2)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@example(np.array([[0, 12, 0, 25, 0]], dtype=np.uint8))
def test_whatever_is_in_a_picture_becomes_digits_or_none(grey: np.ndarray) -> None:
    try:
        assert all(digit.shape == (28, 28) for digit in read_digits(grey))
    except NoDigitError as error:
        assert str(error).startswith("it: shows no")


def test_an_image_in_mnists_form_passes_unchanged(plain: dict[int, np.ndarray]) -> None:
    for image in (plain[8], np.roll(plain[8], (2, -1), axis=(0, 1))):
        np.testing.assert_array_equal(read_image(image), image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_set_upright_as_its_exif_orientation_says(orientation: int) -> None:
    held = coloured(7)
    if orientation in (3, 4, 7, 8):
        held = held[::-1]
    if orientation in (2, 3, 6, 7):
        held = held[:, ::-1]
    if orientation > 4:
        held = held.swapaxes(0, 1)
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(held))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0" % orientation
    tagged = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    (image,) = decode_digits(tagged, "it")
    assert likeness(image, read_image(coloured(7), ".jpg")) > 0.95


def test_a_picture_of_too_many_pixels_is_refused_by_its_header() -> None:
    line = complaint(FileError, decode_digits, huge_png(10_000), "huge.png")
    assert line == "huge.png: has more than 64 million pixels: send a smaller one"


def rendered(cover: np.ndarray, light: np.ndarray | float = 215.0) -> np.ndarray:
    """A pen's strokes on paper in this light, with a camera's noise."""
    noise = np.random.default_rng(0).normal(0, 3, cover.shape)
    return np.clip(light * (1 - 0.75 * cover / 255.0) + noise, 0, 255).astype(np.uint8)


BLANK = {
    "white": np.full((100, 100), 255, dtype=np.uint8),
    "one pixel": np.zeros((1, 1), dtype=np.uint8),
    "28x28": np.zeros((28, 28), dtype=np.uint8),
    "paper in uneven light": rendered(np.zeros((200, 300)), np.linspace(90, 230, 300)),
}


NO_DIGIT = "it: shows no digit: no strokes stand out from its paper"


@pytest.mark.parametrize("picture", BLANK.values(), ids=BLANK)
def test_a_blank_picture_shows_no_digit(picture: np.ndarray) -> None:
    assert complaint(NoDigitError, read_image, picture) == NO_DIGIT


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(content: bytes) -> None:
    line = complaint(FileError, decode_digits, content, "x.png")
    assert line == "x.png: is not a PNG or JPEG picture"


def sheet_on_a_dark_desk(cover: np.ndarray) -> np.ndarray:
    light = np.full(cover.shape, 45, dtype=np.uint8)
    height, width = cover.shape
    sheet = np.array([[40, 25], [width - 50, 40], [width - 35, height - 30], [55, height - 20]])
    cv2.fillPoly(light, [sheet], 215)
    return rendered(cover, cv2.GaussianBlur(light, (0, 0), 1.2).astype(np.float64))


def sheets_edge(cover: np.ndarray) -> np.ndarray:
    light = np.full(cover.shape, 215.0)
    light[:, : cover.shape[1] // 7] = 60
    return rendered(cover, light)


def half_shadow(cover: np.ndarray) -> np.ndarray:
    light = np.full(cover.shape, 215, dtype=np.uint8)
    cv2.fillPoly(light, [np.array([[0, 0], [260, 0], [190, 400], [0, 400]])], 110)
    return rendered(cover, cv2.GaussianBlur(light, (0, 0), 2).astype(np.float64))


def drawn_frame(cover: np.ndarray) -> np.ndarray:
    framed = cover.copy()
    height, width = cover.shape
    corners = np.array([[60, 30], [width - 70, 36], [width - 62, height - 34], [66, height - 26]])
    cv2.polylines(framed, [corners], isClosed=True, color=255, thickness=7)
    return rendered(framed)


def ruled(cover: np.ndarray) -> np.ndarray:
    light = np.full(cover.shape, 225.0)
    light[30::50] = light[31::50] = 170
    return rendered(cover, light)


SCENES = {
    "a sheet on a dark desk": sheet_on_a_dark_desk,
    "the edge of a sheet": sheets_edge,
    "half in shadow": half_shadow,
    "in a drawn frame": drawn_frame,
    "on ruled paper": ruled,
}


@pytest.mark.parametrize("scene", SCENES)
def test_what_is_around_the_digit_is_left_out(scene: str, plain: dict[int, np.ndarray]) -> None:
    for digit in DIGITS:
        cover = np.pad(ink(digit), ((70, 70), (120, 120)))
        assert recognized(read_image(SCENES[scene](cover)), plain) == digit


@pytest.mark.parametrize("scene", ["plain", *SCENES])
def test_several_digits_are_found_from_left_to_right(
    scene: str, plain: dict[int, np.ndarray]
) -> None:
    cover = np.pad(row_of((3, 1, 4)), ((100, 100), (110, 110)))
    found = read_digits(SCENES.get(scene, rendered)(cover))
    assert [recognized(image, plain) for image in found] == [3, 1, 4]


def test_a_digit_in_pieces_stays_one() -> None:
    five = np.full((300, 300), 255, dtype=np.uint8)
    cv2.line(five, (120, 60), (220, 50), 0, 14)  # the bar of a 5, apart from the rest
    body = np.array([[110, 85], [108, 140], [170, 130], [200, 180], [170, 240], [100, 240]])
    cv2.polylines(five, [body], isClosed=False, color=0, thickness=14)
    assert len(read_digits(five)) == 1


def test_blots_and_filled_shapes_are_no_digits() -> None:
    picture = np.full((300, 500), 255, dtype=np.uint8)
    cv2.circle(picture, (100, 150), 60, 0, -1)
    cv2.rectangle(picture, (300, 100), (400, 190), 0, -1)
    assert complaint(NoDigitError, read_digits, picture) == NO_DIGIT
    cv2.line(picture, (230, 80), (230, 220), 0, 14)  # a 1 between them
    assert len(read_digits(picture)) == 1


def test_noise_is_no_digit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    assert complaint(NoDigitError, read_digits, noise).startswith("it: shows no ")
