"""The comparison's text and page: its plot, its table, its look."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect
from support.browser import Visit

from digit_recognizer.extras.compare.comparison import cells, compare_page, compare_text


def table() -> pd.DataFrame:
    figures = {
        "recipe": ["<perfect>", "default", "quick", "two-conv", "lenet5", "mlp"],
        "cv_accuracy": [1.0, 0.99574, 0.9931, 0.9930, 0.9890, 0.9810],
        "member_seconds": [5000.0, 1200.0, 240.0, 250.0, 60.0, 90.0],
        "p_value": [0.5, None, 0.012345, 0.012345, 1e-40, 0.012345],
    }
    return pd.DataFrame(figures).assign(
        cv_low=lambda rows: rows.cv_accuracy - 0.001,
        cv_high=lambda rows: (rows.cv_accuracy + 0.001).clip(upper=1),
        n_rows=42000,
        test_accuracy=None,
        wall_seconds=600.0,
        parameters=482666,
        multiply_adds=14180000,
    )


def test_the_text_has_every_figure_under_its_name() -> None:
    header, _, line, *rest = compare_text(table(), None).splitlines()
    figures = cells(table()).loc[1]
    assert figures.to_dict().items() >= {"rows": "42,000", "test": "-", "McNemar p": "-"}.items()
    for name, text in figures.items():
        place = f"  {header}  ".index(f"  {name}  ")
        assert f"{line}  "[place:].startswith(f"{text}  ")
    assert any("McNemar p: none, as there is no run of default" in note for note in rest)
    assert "of other rows" not in compare_text(table(), None)
    fewer = table().assign(n_rows=[42000, 42000, 21000, 42000, 42000, 42000])
    assert "accuracies and seconds are of other rows" in compare_text(fewer, None)


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 390)])
def test_the_page_shows_every_recipe(
    tmp_path: Path, visit: Callable[..., Visit], dark: bool, width: int
) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_page(table(), "digit-recognizer", None), encoding="utf-8")
    opened = visit(path, dark=dark, width=width)
    page = opened.page
    assert opened.violations() == []
    assert opened.overflow() == 0
    lines = [row.locator("th, td").all_inner_texts() for row in page.locator("tr").all()]
    texts = cells(table())
    assert lines == [list(texts), *texts.to_numpy().tolist()]
    front = {"lenet5", "quick", "default", "<perfect>"}
    assert set(page.locator(".point.s0 text").all_text_contents()) == front
    assert page.locator(".point").count() == len(texts)
    for box in (mark.bounding_box() for mark in page.locator(".point").all()):
        assert box and 0 <= box["x"] <= width - box["width"]
        assert box["height"] > 13  # of the dot alone
    figures = page.locator(".point title").nth(4)
    assert figures.text_content().startswith("recipe lenet5\nCV accuracy 0.98900\n")
    scroller = page.locator(".scroll")
    scroller.evaluate("element => { element.scrollIntoView(); element.scrollLeft = 200; }")
    expect(scroller.locator("tbody th").first).to_be_in_viewport(ratio=1)  # names stay in sight
