"""The shell of every page, in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Visit
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.pages.look import embedded, page

BODY = '<main id="main"><h1>Digits</h1><p id="answer">nothing yet</p></main>'
SHOW = "document.getElementById('answer').textContent = JSON.parse(document.getElementById('data').textContent).text;"


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_embedded_data_cannot_end_its_element(data: object) -> None:
    assert not set("<>&\u2028\u2029") & set(embedded(data))


def test_infinity_and_a_script_that_ends_itself_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page("Digits", BODY, data=[float("nan")])
    with pytest.raises(ValueError, match="would end it"):
        page("Digits", BODY, script="'</SCRIPT>'")


def test_a_page_opens_from_disk_and_its_script_reads_its_data(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    text = "</script><!-- & 'seven' \u2028 7 < 9"
    path = tmp_path / "page with spaces.html"
    path.write_text(page("<Digits>", BODY, {"text": text}, SHOW), encoding="utf-8")
    for dark in (False, True):
        opened = visit(path, dark=dark, width=360)
        assert opened.page.title() == "<Digits>"
        assert opened.page.locator("#answer").text_content() == text
        assert opened.violations() == []
        assert opened.overflow() == 0


def test_a_page_may_reach_nothing_outside(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    path = tmp_path / "page.html"
    leak = "fetch('https://example.com/').catch(() => document.title = 'refused');"
    path.write_text(page("Digits", BODY, script=leak), encoding="utf-8")
    opened = visit(path)
    opened.page.wait_for_function("document.title === 'refused'")
    assert opened.outside == []  # the browser refused before it asked
    assert opened.errors
    opened.errors.clear()
