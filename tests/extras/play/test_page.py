"""The drawing board in a real browser."""

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from support.browser import Visit
from support.drawn import ink, row_of
from support.strokes import STROKES, encoded, png
from werkzeug.serving import make_server

from digit_recognizer.extras.play.app import build_app
from digit_recognizer.runs.inference import PRETRAINED, InferenceRun
from digit_recognizer.runs.run import Run

BRING = """([kind, text]) => {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], "brought.png", { type: "image/png" }));
    document.dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: files })
        : new DragEvent(kind, { dataTransfer: files, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def address(drawing: Path, drawing_run: Run) -> Iterator[str]:
    # The networks are the same; only the second run has training digits beside them.
    runs = [InferenceRun.read(PRETRAINED), InferenceRun.read(drawing_run)]
    server = make_server("127.0.0.1", 0, build_app(runs, drawing / "data"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()


@pytest.fixture
def opened(visit: Callable[..., Visit], address: str) -> Visit:
    return visit(address)


@pytest.fixture
def page(opened: Visit) -> Page:
    return opened.page


def at(page: Page, point: tuple[float, float]) -> dict[str, float]:
    """Return where a point of the sheet, each coordinate from 0 to 1, is in the window."""
    box = page.locator("#sheet").bounding_box()
    return {"x": box["x"] + point[0] * box["width"], "y": box["y"] + point[1] * box["height"]}


def go(page: Page, point: tuple[float, float]) -> None:
    """Move the mouse, as it is, pressed or not, to a point of the sheet."""
    page.mouse.move(**at(page, point), steps=3)


def press(page: Page, *points: tuple[float, float]) -> None:
    """Draw with the mouse, which sends true pointer events, and leave it pressed."""
    go(page, points[0])
    page.mouse.down()
    for point in points[1:]:
        go(page, point)


def draw(page: Page, digit: int) -> None:
    for stroke in STROKES[digit]:
        press(page, *stroke)
        page.mouse.up()


def bring(page: Page, kind: str, digit: int) -> None:
    """Paste or drop a picture."""
    page.evaluate(BRING, [kind, b64encode(png(digit)).decode()])


def open_picture(page: Page, content: bytes) -> None:
    picture = {"name": "brought.png", "mimeType": "image/png", "buffer": content}
    page.locator("#file").set_input_files(picture)


def inked(page: Page) -> str:
    """Return what is drawn on the sheet, as a PNG."""
    return str(page.locator("#sheet").evaluate("sheet => sheet.toDataURL()"))


def test_a_drawn_1_7_and_0_are_read(opened: Visit, page: Page) -> None:
    for digit in (1, 7, 0):
        draw(page, digit)
        expect(page.locator("#glyph")).to_have_text(str(digit))
        expect(page.locator("#spoken")).to_contain_text(f"{digit}, ")
        assert page.locator("li.best b").inner_text() == str(digit)
        assert page.locator("#bars .value").count() == 10
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#confidence")).to_have_text("Nothing drawn yet")
    assert opened.violations() == []


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 360)])
def test_everything_about_the_answer_of_a_chosen_run_is_shown_and_accessible(
    visit: Callable[..., Visit], address: str, dark: bool, width: int
) -> None:
    opened = visit(address, dark=dark, width=width)
    page = opened.page
    draw(page, 7)
    expect(page.locator("#agree")).to_have_text("Networks that agree: 2 of 2")
    expect(page.locator("#weak")).to_be_hidden()
    expect(page.locator("#near")).to_be_hidden()
    page.locator("#run").select_option("drawing")
    expect(page.locator("#tiles li")).to_have_count(10)
    expect(page.locator("#tiles li").first).to_contain_text("row ")
    expect(page.locator("#weak")).to_contain_text("trained on the sample")
    assert page.locator("#image, #tiles img").evaluate_all(
        "images => images.every(image => image.naturalWidth === 28)"
    )
    assert page.evaluate("image.y - glyph.offsetTop < glyph.offsetHeight")  # beside the answer
    assert opened.violations() == []
    assert opened.overflow() == 0


def test_several_digits_are_read_and_an_unclear_one_is_grey(opened: Visit, page: Page) -> None:
    open_picture(page, encoded(255 - np.pad(row_of((3, 1, 4)), 60)))
    expect(page.locator("#glyph")).to_have_text("314")
    page.get_by_role("button", name="4", exact=True).click()
    expect(page.locator("#confidence")).to_contain_text("4: ")
    open_picture(page, encoded(255 - np.maximum(ink(0), ink(5))))
    expect(page.locator("#confidence")).to_contain_text("not sure: ")
    expect(page.locator("#glyph.unsure")).to_be_visible()
    assert opened.violations() == []


def test_a_dot_is_no_digit_and_said_to_be_none_only_when_the_pen_is_lifted(page: Page) -> None:
    press(page, (0.5, 0.5))
    for x in (0.501, 0.502):  # by the second question, the first is answered and shown
        with page.expect_response("**/read/**"):
            go(page, (x, 0.5))
    expect(page.locator("#confidence")).to_have_text("Nothing drawn yet")
    page.mouse.up()
    expect(page.get_by_role("alert")).to_contain_text("shows no digit")


def test_a_finger_draws_too(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    touch = page.context.new_cdp_session(page)
    (stroke,) = STROKES[1]
    places = [[at(page, point)] for point in stroke]
    kinds = ("touchStart", "touchMove", "touchMove", "touchEnd")
    for kind, points in zip(kinds, [*places, []], strict=True):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.locator("#glyph")).to_have_text("1")
    assert page.evaluate("scrollY") == 0


def test_strokes_can_be_taken_back_one_by_one(page: Page) -> None:
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    draw(page, 4)  # two strokes
    expect(page.locator("#glyph")).to_have_text("4")
    undo.click()
    expect(undo).to_be_enabled()
    page.keyboard.press("Control+z")
    expect(undo).to_be_disabled()
    expect(page.locator("#glyph")).to_have_text("?")


@pytest.mark.parametrize("keys", ["Escape", "Control+z"])
def test_a_stroke_taken_back_under_the_pen_is_gone_and_the_next_one_counts(
    page: Page, keys: str
) -> None:
    press(page, (0.3, 0.3), (0.7, 0.3))
    page.keyboard.press(keys)
    go(page, (0.7, 0.7))
    page.mouse.up()
    expect(page.locator("#invite")).to_be_visible()
    expect(page.locator("#confidence")).to_have_text("Nothing drawn yet")
    draw(page, 7)
    expect(page.locator("#spoken")).to_contain_text("7, ")


def test_the_pens_width_changes_what_is_drawn_and_leaves_the_stroke_under_the_pen(
    page: Page,
) -> None:
    press(page, (0.5, 0.2), (0.49, 0.5))
    thin = inked(page)
    page.locator("#width").focus()
    page.keyboard.press("ArrowRight")
    thick = inked(page)
    go(page, (0.47, 0.8))
    assert len({thin, thick, inked(page)}) == 3
    page.mouse.up()
    expect(page.locator("#spoken")).to_contain_text("1, ")


def test_what_replaces_a_stroke_under_the_pen_stays_as_it_is(page: Page) -> None:
    draw(page, 1)
    before = inked(page)
    press(page, (0.8, 0.3), (0.8, 0.6))
    assert inked(page) != before
    page.keyboard.press("Control+z")
    go(page, (0.8, 0.9))
    page.mouse.up()
    assert inked(page) == before
    expect(page.locator("#spoken")).to_contain_text("1, ")
    press(page, (0.2, 0.8), (0.4, 0.8))
    bring(page, "paste", 0)
    expect(page.locator("#glyph")).to_have_text("0")
    before = inked(page)
    go(page, (0.8, 0.8))
    page.mouse.up()
    assert inked(page) == before
    expect(page.locator("#spoken")).to_contain_text("0, ")


def test_a_picture_is_opened_pasted_or_dropped(opened: Visit, page: Page) -> None:
    open_picture(page, png(7))
    expect(page.locator("#glyph")).to_have_text("7")
    bring(page, "paste", 0)
    expect(page.locator("#glyph")).to_have_text("0")
    bring(page, "dragover", 4)
    expect(page.locator(".over")).to_be_visible()
    bring(page, "drop", 4)
    expect(page.locator("#glyph")).to_have_text("4")
    expect(page.locator(".over")).to_have_count(0)
    expect(page.locator("#picture")).to_be_visible()
    open_picture(page, b"seven")
    expect(page.get_by_role("alert")).to_have_text("The picture: is not a PNG or JPEG picture")
    expect(page.locator("#picture")).to_be_hidden()
    assert "422" in opened.errors.pop()  # the browser logs the refusal
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_hidden()
