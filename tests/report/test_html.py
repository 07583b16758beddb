"""The base template of every page, in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from support.browser import Visit

from digit_recognizer.report.page import render

PAGE = """{% extends "base.html.j2" %}
{% block title %}{{ title }}{% endblock %}
{% block body %}<main id="main"><h1>Digits</h1><p id="answer">nothing yet</p></main>{% endblock %}
{% block script %}{% include "page.js" %}{% endblock %}
"""
SHOW = "document.getElementById('answer').textContent = JSON.parse(document.getElementById('data').textContent).text;"


def page(folder: Path, data: object = None, script: str = "", title: str = "Digits") -> Path:
    (folder / "page.html.j2").write_text(PAGE, encoding="utf-8")
    (folder / "page.js").write_text(script, encoding="utf-8")
    path = folder / "page with spaces.html"
    path.write_text(render(folder / "page.html.j2", data=data, title=title), encoding="utf-8")
    return path


def test_infinity_and_a_missing_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        page(tmp_path, data=[float("nan")])
    with pytest.raises(UndefinedError, match="title"):
        render(tmp_path / "page.html.j2", data=None)


def test_a_page_opens_from_disk_and_its_script_reads_its_data(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    text = "</script><!-- & 'seven' \u2028 7 < 9"
    path = page(tmp_path, {"text": text}, SHOW, title="<Digits>")
    for dark in (False, True):
        opened = visit(path, dark=dark, width=360)
        assert opened.page.title() == "<Digits>"
        assert opened.page.locator("#answer").text_content() == text
        assert opened.violations() == []
        assert opened.overflow() == 0


def test_a_page_may_reach_nothing_outside(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    leak = "fetch('https://example.com/').catch(() => document.title = 'refused');"
    opened = visit(page(tmp_path, script=leak))
    opened.page.wait_for_function("document.title === 'refused'")
    assert opened.outside == []  # the browser refused before it asked
    assert opened.errors
    opened.errors.clear()
