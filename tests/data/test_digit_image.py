"""A digit drawn with any means becomes an image in the form of MNIST's."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.drawn import huge_png, ink, photo, row_of

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError, NoDigitError

DIGITS = (2, 4, 5, 7, 8)


def read_digits(path: Path) -> list[np.ndarray]:
    return decode_digits(path.read_bytes(), str(path))


def read_image(path: Path) -> np.ndarray:
    """The only digit of a picture."""
    (digit,) = read_digits(path)
    return digit


def save(path: Path, picture: np.ndarray) -> Path:
    ok, content = cv2.imencode(path.suffix, picture)
    assert ok
    path.write_bytes(content.tobytes())
    return path


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
    "dark on light": ("x.png", lambda digit: 255 - ink(digit)),
    "light on dark": ("x.png", ink),
    "grey on grey": ("x.png", lambda digit: (130 - ink(digit) * 0.3).astype(np.uint8)),
    "light on grey": ("x.png", lambda digit: (150 + ink(digit) * 0.3).astype(np.uint8)),
    "black ink, transparent paper": ("x.png", lambda digit: transparent(digit, 0)),
    "white ink, transparent paper": ("x.png", lambda digit: transparent(digit, 255)),
    "16 bit, transparent paper": (
        "x.png",
        lambda digit: transparent(digit, 0).astype(np.uint16) * 257,
    ),
    "black and white": ("x.png", lambda digit: (ink(digit) < 128).astype(np.uint8) * 255),
    "colour": ("x.jpg", coloured),
    "a shaded photo": ("x.jpg", lambda digit: photo(digit, np.random.default_rng(digit))),
    "specks of dirt": ("x.png", with_dirt),
    "wide": ("x.png", lambda digit: 255 - ink(digit, (100, 400))),
    "tall": ("x.png", lambda digit: 255 - ink(digit, (400, 100))),
    "large": ("x.jpeg", lambda digit: 255 - ink(digit, (1500, 2000), 100)),
    "in a corner": (
        "x.png",
        lambda digit: np.pad(255 - ink(digit), ((0, 300), (0, 300)), constant_values=255),
    ),
    "28x28, dark on light": (
        "x.png",
        lambda digit: 255 - cv2.resize(ink(digit), (28, 28), interpolation=cv2.INTER_AREA),
    ),
}


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two images, at the best shift within a pixel: the centre is rounded."""
    moves = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    moved = [np.roll(a, move, axis=(0, 1)).ravel() for move in moves]
    return max(float(np.corrcoef(image, b.ravel())[0, 1]) for image in moved)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[int, np.ndarray]:
    """Each digit, read from a plain drawing."""
    path = tmp_path_factory.mktemp("plain") / "plain.png"
    return {digit: read_image(save(path, ink(digit))) for digit in range(10)}


def recognized(image: np.ndarray, plain: dict[int, np.ndarray]) -> int:
    """The digit whose plain drawing an image is most like, and very much so."""
    best = max(plain, key=lambda digit: likeness(image, plain[digit]))
    assert likeness(image, plain[best]) > 0.85
    return best


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_of_any_form_becomes_the_same_digit_in_mnists_form(
    form: str, plain: dict[int, np.ndarray], tmp_path: Path
) -> None:
    name, draw = FORMS[form]
    for digit in DIGITS:
        image = read_image(save(tmp_path / name, draw(digit)))
        assert (image.shape, image.dtype) == ((28, 28), np.uint8)
        assert recognized(image, plain) == digit
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        weights = image[rows, columns]
        assert abs(np.average(rows, weights=weights) - 14) <= 0.75
        assert abs(np.average(columns, weights=weights) - 14) <= 0.75
        assert image.max() > 240
        assert np.median(image) == 0


def test_thin_strokes_become_as_thick_as_a_pens(tmp_path: Path) -> None:
    picture = np.full((500, 500), 255, dtype=np.uint8)
    seven = np.array([[120, 80], [380, 80], [220, 420]])
    cv2.polylines(picture, [seven], isClosed=False, color=0, thickness=1)
    image = read_image(save(tmp_path / "thin.png", picture))
    stroke = (image[14] > 100).sum()
    assert stroke in (2, 3)
    assert image.max() > 240


@pytest.mark.parametrize("colour", [0, 255])
def test_thin_strokes_of_a_large_transparent_picture_are_not_lost(
    colour: int, tmp_path: Path
) -> None:
    alpha = np.zeros((3000, 3000), dtype=np.uint8)
    cv2.polylines(alpha, [np.array([[900, 700], [2100, 700], [1300, 2300]])], False, 255, 2)
    drawn = np.dstack([np.where(alpha > 0, colour, 255 - colour)] * 3 + [alpha]).astype(np.uint8)
    on_paper = read_image(save(tmp_path / "paper.png", 255 - alpha))
    np.testing.assert_allclose(read_image(save(tmp_path / "x.png", drawn)), on_paper, atol=2)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@example(np.array([[0, 12, 0, 25, 0]], dtype=np.uint8))
def test_whatever_is_in_a_picture_becomes_digits_or_none(grey: np.ndarray) -> None:
    content = cv2.imencode(".png", grey)[1].tobytes()
    try:
        assert all(digit.shape == (28, 28) for digit in decode_digits(content, "it"))
    except NoDigitError as error:
        assert str(error).startswith("it: shows no")


def test_an_image_in_mnists_form_passes_unchanged(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "large.png", ink(8)))
    moved = np.roll(image, (2, -1), axis=(0, 1))
    for as_it_is in (image, moved):
        same = read_image(save(tmp_path / "small.png", as_it_is))
        np.testing.assert_array_equal(same, as_it_is)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_set_upright_as_its_exif_orientation_says(
    orientation: int, tmp_path: Path
) -> None:
    upright = read_image(save(tmp_path / "upright.jpg", coloured(7)))
    held = coloured(7)
    if orientation in (3, 4, 7, 8):
        held = held[::-1]
    if orientation in (2, 3, 6, 7):
        held = held[:, ::-1]
    if orientation > 4:
        held = held.swapaxes(0, 1)
    path = save(tmp_path / "held.jpg", np.ascontiguousarray(held))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0" % orientation
    marker, rest = path.read_bytes()[:2], path.read_bytes()[2:]
    path.write_bytes(marker + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + rest)
    assert likeness(read_image(path), upright) > 0.95


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(10_000))
    with pytest.raises(FileError) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: has more than 64 million pixels: send a smaller one"


def paper_in_uneven_light() -> np.ndarray:
    light = np.tile(np.linspace(90, 230, 300), (200, 1))
    noise = np.random.default_rng(0).normal(0, 3, light.shape)
    return (light + noise).astype(np.uint8)


BLANK = {
    "white": np.full((100, 100), 255, dtype=np.uint8),
    "one pixel": np.zeros((1, 1), dtype=np.uint8),
    "28x28": np.zeros((28, 28), dtype=np.uint8),
    "paper in uneven light": paper_in_uneven_light(),
}


@pytest.mark.parametrize("kind", BLANK)
def test_a_blank_picture_shows_no_digit(kind: str, tmp_path: Path) -> None:
    blank = save(tmp_path / "blank.png", BLANK[kind])
    with pytest.raises(FileError) as caught:
        read_image(blank)
    assert str(caught.value) == (f"{blank}: shows no digit: no strokes stand out from its paper")


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for content in (b"", b"not a picture", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(FileError) as caught:
            read_image(path)
        assert str(caught.value) == f"{path}: is not a PNG or JPEG picture"


def rendered(cover: np.ndarray, light: np.ndarray | float = 215.0) -> np.ndarray:
    """A pen's strokes on paper in this light, with a camera's noise."""
    noise = np.random.default_rng(0).normal(0, 3, cover.shape)
    return np.clip(light * (1 - 0.75 * cover / 255.0) + noise, 0, 255).astype(np.uint8)


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
def test_what_is_around_the_digit_is_left_out(
    scene: str, plain: dict[int, np.ndarray], tmp_path: Path
) -> None:
    for digit in DIGITS:
        cover = np.pad(ink(digit), ((70, 70), (120, 120)))
        image = read_image(save(tmp_path / "scene.png", SCENES[scene](cover)))
        assert recognized(image, plain) == digit


@pytest.mark.parametrize("scene", ["plain", *SCENES])
def test_several_digits_are_found_from_left_to_right(
    scene: str, plain: dict[int, np.ndarray], tmp_path: Path
) -> None:
    cover = np.pad(row_of((3, 1, 4)), ((100, 100), (110, 110)))
    found = read_digits(save(tmp_path / "pi.png", SCENES.get(scene, rendered)(cover)))
    assert [recognized(image, plain) for image in found] == [3, 1, 4]


def test_a_digit_in_pieces_stays_one(tmp_path: Path) -> None:
    five = np.full((300, 300), 255, dtype=np.uint8)
    cv2.line(five, (120, 60), (220, 50), 0, 14)  # the bar of a 5, apart from the rest
    body = np.array([[110, 85], [108, 140], [170, 130], [200, 180], [170, 240], [100, 240]])
    cv2.polylines(five, [body], isClosed=False, color=0, thickness=14)
    assert len(read_digits(save(tmp_path / "five.png", five))) == 1


def test_blots_and_filled_shapes_are_no_digits(tmp_path: Path) -> None:
    picture = np.full((300, 500), 255, dtype=np.uint8)
    cv2.circle(picture, (100, 150), 60, 0, -1)
    cv2.rectangle(picture, (300, 100), (400, 190), 0, -1)
    with pytest.raises(FileError, match=r"blots\.png: shows no digit: no strokes "):
        read_digits(save(tmp_path / "blots.png", picture))
    cv2.line(picture, (230, 80), (230, 220), 0, 14)  # a 1 between them
    assert len(read_digits(save(tmp_path / "one.png", picture))) == 1


def test_noise_is_no_digit(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    with pytest.raises(FileError, match=r"noise\.png: shows no "):
        read_digits(save(tmp_path / "noise.png", noise))
