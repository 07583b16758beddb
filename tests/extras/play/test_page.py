"""The drawing board in a real browser."""

import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from support.browser import Visit
from support.drawn import ink, row_of
from support.strokes import STROKES, png
from werkzeug.serving import make_server

from digit_recognizer.extras.play.app import build_app
from digit_recognizer.runs.answering import PRETRAINED, AnsweringRun
from digit_recognizer.runs.run import Run

Visitor = Callable[..., Visit]
PASTE = """text => {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
}"""


@pytest.fixture(scope="module")
def address(drawing: Path, drawing_run: Run) -> Iterator[str]:
    # The shipped networks read well; those of the test alone have training digits beside them.
    runs = [AnsweringRun.read(PRETRAINED), AnsweringRun.read(drawing_run)]
    app = build_app(runs, drawing / "data")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def draw(page: Page, digit: int) -> None:
    """Draw with the mouse, which sends true pointer events."""
    for stroke in STROKES[digit]:
        go(page, stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            go(page, point)
        page.mouse.up()


def go(page: Page, point: tuple[float, float]) -> None:
    """Move the mouse, as it is, pressed or not, to a point of the sheet."""
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    x, y = point
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)


def inked(page: Page) -> str:
    """What can be seen on the sheet, as a PNG."""
    return str(page.locator("#sheet").evaluate("sheet => sheet.toDataURL()"))


def test_a_drawn_1_7_and_0_are_read(visit: Visitor, address: str) -> None:
    opened = visit(address)
    page = opened.page
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
def test_everything_about_the_answer_is_shown_and_accessible(
    visit: Visitor, address: str, dark: bool, width: int
) -> None:
    opened = visit(address, dark=dark, width=width)
    page = opened.page
    page.locator("#run").select_option(index=1)
    draw(page, 0)
    expect(page.locator("#glyph")).to_have_text("0")
    expect(page.locator("#agree")).to_contain_text("networks")
    expect(page.locator("#tiles li")).to_have_count(10)
    expect(page.locator("#tiles li").first).to_contain_text("row ")
    expect(page.locator("#count")).to_have_text("2 networks")
    expect(page.locator("#weak")).to_contain_text("trained on the sample")
    expect(page.locator("#run option")).to_have_count(2)
    expect(page.locator("#time")).to_contain_text(" ms.")
    lit = page.locator("#image").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, 28, 28).data.filter("
        "(value, index) => index % 4 === 0 && value > 127).length"
    )
    assert 30 < lit < 250
    assert opened.violations() == []
    assert opened.overflow() == 0


def test_what_the_networks_get_stands_beside_the_answer(visit: Visitor, address: str) -> None:
    page = visit(address).page
    draw(page, 7)
    expect(page.locator("#glyph")).to_have_text("7")
    answer, image = page.locator("#glyph").bounding_box(), page.locator("#image").bounding_box()
    assert answer is not None
    assert image is not None
    assert image["y"] + image["height"] < 600
    assert image["y"] < answer["y"] + answer["height"]


def test_another_run_answers_when_it_is_chosen(visit: Visitor, address: str) -> None:
    page = visit(address).page
    draw(page, 7)
    expect(page.locator("#glyph")).to_have_text("7")
    expect(page.locator("#shipped")).to_be_visible()
    expect(page.locator("#weak")).to_be_hidden()
    before = page.locator("#confidence").inner_text()
    page.locator("#run").select_option(index=1)
    expect(page.locator("#shipped")).to_be_hidden()
    expect(page.locator("#weak")).to_be_visible()
    expect(page.locator("#confidence")).not_to_have_text(before)


def test_several_digits_are_read_and_an_unclear_one_is_grey(
    visit: Visitor, address: str, tmp_path: Path
) -> None:
    opened = visit(address)
    page = opened.page
    cv2.imwrite(str(tmp_path / "pi.png"), 255 - np.pad(row_of((3, 1, 4)), 60))
    page.locator("#file").set_input_files(tmp_path / "pi.png")
    expect(page.locator("#glyph")).to_have_text("314")
    page.get_by_role("button", name="1", exact=True).click()
    expect(page.locator("#confidence")).to_contain_text("1: ")
    cv2.imwrite(str(tmp_path / "both.png"), 255 - np.maximum(ink(0), ink(5)))
    page.locator("#file").set_input_files(tmp_path / "both.png")
    expect(page.locator("#confidence")).to_contain_text("Not sure: ")
    expect(page.locator("#glyph.unsure")).to_be_visible()
    assert opened.violations() == []


def test_a_finger_draws_too(visit: Visitor, address: str) -> None:
    page = visit(address, width=390).page
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)
    (stroke,) = STROKES[1]
    for kind, (x, y) in zip(("touchStart", "touchMove", "touchMove"), stroke, strict=True):
        at = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#glyph")).to_have_text("1")
    assert page.evaluate("scrollY") == 0


def test_strokes_can_be_taken_back_one_by_one(visit: Visitor, address: str) -> None:
    page = visit(address).page
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
    visit: Visitor, address: str, keys: str
) -> None:
    page = visit(address).page
    go(page, (0.3, 0.3))
    page.mouse.down()
    go(page, (0.7, 0.3))
    page.keyboard.press(keys)
    go(page, (0.7, 0.7))
    page.mouse.up()
    expect(page.locator("#invite")).to_be_visible()
    expect(page.locator("#confidence")).to_have_text("Nothing drawn yet")
    draw(page, 7)
    expect(page.locator("#spoken")).to_contain_text("7, ")


def test_a_second_stroke_taken_back_under_the_pen_leaves_the_first_as_it_was(
    visit: Visitor, address: str
) -> None:
    page = visit(address).page
    draw(page, 1)
    go(page, (0.8, 0.3))
    before = inked(page)
    page.mouse.down()
    go(page, (0.8, 0.6))
    assert inked(page) != before
    page.keyboard.press("Control+z")
    go(page, (0.8, 0.9))
    page.mouse.up()
    go(page, (0.8, 0.3))
    assert inked(page) == before
    expect(page.locator("#spoken")).to_contain_text("1, ")


def test_a_picture_pasted_under_the_pen_stays_as_it_is(visit: Visitor, address: str) -> None:
    page = visit(address).page
    go(page, (0.2, 0.8))
    page.mouse.down()
    go(page, (0.4, 0.8))
    page.evaluate(PASTE, b64encode(png(0)).decode())
    expect(page.locator("#glyph")).to_have_text("0")
    before = inked(page)
    go(page, (0.8, 0.8))
    page.mouse.up()
    go(page, (0.4, 0.8))
    assert inked(page) == before
    expect(page.locator("#spoken")).to_contain_text("0, ")


def test_a_picture_is_opened_or_pasted_without_a_pointer(
    visit: Visitor, address: str, tmp_path: Path
) -> None:
    page = visit(address).page
    (tmp_path / "seven.png").write_bytes(png(7))
    page.locator("#file").set_input_files(tmp_path / "seven.png")
    expect(page.locator("#glyph")).to_have_text("7")
    page.evaluate(PASTE, b64encode(png(0)).decode())
    expect(page.locator("#glyph")).to_have_text("0")
    (tmp_path / "note.txt").write_text("seven")
    page.locator("#file").set_input_files(tmp_path / "note.txt")
    expect(page.get_by_role("alert")).to_have_text("This is no PNG or JPEG picture.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_without_flask_one_line_says_what_to_do(drawing: Path) -> None:
    program = (
        "import sys; sys.modules['flask'] = None;"
        "from digit_recognizer.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["play", "--submissions-dir", str(drawing / "submissions"), "--run", "drawing"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: flask is not installed: ")
    assert done.stderr.count("\n") == 1
