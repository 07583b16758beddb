"""The comparison's page: its plot, its table, its look."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.browser import Visit

from digit_recognizer.extras.compare.table import (
    ComparedRun,
    compare_page,
    compare_text,
    pareto_front,
)

values = st.floats(1e-4, 1e4)
points = st.lists(st.tuples(values, values), min_size=1)


def row(recipe: str, accuracy: float, seconds: float, **changes: object) -> ComparedRun:
    facts: dict[str, object] = {
        "recipe": recipe,
        "run": f"small-{recipe}",
        "cv_accuracy": accuracy,
        "cv_low": accuracy - 0.001,
        "cv_high": min(1.0, accuracy + 0.001),
        "n_rows": 42000,
        "train_accuracy": 0.99,
        "precision": accuracy,
        "recall": accuracy,
        "test_accuracy": None,
        "parameters": 482666,
        "multiply_adds": 14180000,
        "n_members": 6,
        "member_seconds": seconds,
        "wall_seconds": seconds / 2,
        "images_per_second": 2500.0,
        "common_rows": 42000,
        "p_value": 0.012345,
    }
    return ComparedRun(**{**facts, **changes})


ROWS = [
    row("default", 0.99574, 1200, common_rows=None, p_value=None),
    row("quick", 0.9931, 240),
    row("two-conv", 0.9930, 250),  # beside `quick`: their labels must not lie on each other
    row("lenet5", 0.9890, 60, p_value=1e-40),
    row("mlp", 0.9810, 90),
    row("<perfect>", 1.0, 5000),
]


@given(points)
def test_no_point_is_better_than_one_on_the_front_in_both_respects(
    drawn: list[tuple[float, float]],
) -> None:
    front = [drawn[index] for index in pareto_front(drawn)]
    assert len(set(front)) == len(front)
    for seconds, error in drawn:
        assert any(best[0] <= seconds and best[1] <= error for best in front)
        point = (seconds, error)
        assert all(best == point or best[0] < seconds or best[1] < error for best in front)


def test_the_text_has_every_figure_under_its_name() -> None:
    header, first, *_ = compare_text(ROWS, "small-default").splitlines()
    for name, text in ROWS[0].cells.items():
        place = f"  {header}  ".index(f"  {name}  ")
        assert f"{first}  "[place:].startswith(f"{text}  ")
    assert "exact test against the run small-default" in compare_text(ROWS, "small-default")
    assert "of which there is none" in compare_text(ROWS, None)


def test_the_page_shows_every_recipe_and_reads_it_out(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_page(ROWS, "digit-recognizer", "small-default"), encoding="utf-8")
    for dark, width in ((False, 1200), (True, 360)):
        opened = visit(path, dark=dark, width=width)
        assert opened.violations() == []
        assert opened.overflow() == 0
    page = opened.page
    main, more = page.locator("table").all()
    shown: dict[str, dict[str, str]] = {}
    page.locator("summary").click()
    for table in (main, more):
        names = table.locator("th[scope=col]").all_inner_texts()
        for line in table.locator("tbody tr").all():
            cells = line.locator("th, td").all_inner_texts()
            shown.setdefault(cells[0], {}).update(zip(names, cells, strict=True))
    assert shown == {row.recipe: row.cells for row in ROWS}
    assert "mlp: 0.97 (MNIST test)" in page.locator("main").inner_text()
    marks = page.locator(".point")
    assert marks.count() == len(ROWS)
    front = {"lenet5", "quick", "default", "<perfect>"}
    assert set(page.locator(".point.s0 text").all_text_contents()) == front
    marks.nth(1).focus()
    shown_text = page.locator("#shown").inner_text()
    assert "quick: out-of-fold accuracy 0.99310" in shown_text
    assert "240 seconds" in shown_text
    marks.nth(1).blur()
    assert "Choose a recipe" in page.locator("#shown").inner_text()


def test_on_a_phone_every_recipe_with_its_error_bar_is_in_sight_and_its_name_stays(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_page(ROWS, "digit-recognizer", None), encoding="utf-8")
    page = visit(path, width=390).page
    for mark in page.locator(".point").all():
        box = mark.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    bars = page.locator(".whisker").evaluate_all(
        "bars => bars.map(b => b.y1.baseVal.value - b.y2.baseVal.value)"
    )
    assert len(bars) == len(ROWS)
    assert all(bar > 0 for bar in bars)
    scroller = page.locator(".scroll").first
    scroller.evaluate("element => { element.scrollLeft = 200; }")
    name = scroller.locator("tbody th").first.bounding_box()
    assert name
    assert 0 <= name["x"] < 30


def test_the_page_is_dated_and_says_when_it_is_the_sample() -> None:
    sample, real = (compare_page(ROWS, name, None) for name in ("sample", "digit-recognizer"))
    assert "not Kaggle's digits" in sample.replace("&#39;", "'")
    assert "not Kaggle" not in real
    assert f"{datetime.now(UTC):%Y-%m-%d}" in real


def test_labels_do_not_lie_on_each_other(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_page(ROWS, "digit-recognizer", None), encoding="utf-8")
    boxes = visit(path).page.evaluate(
        "[...document.querySelectorAll('.point text')].map(t => t.getBoundingClientRect().toJSON())"
    )
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            beside = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert beside or one["bottom"] <= other["top"] + 4 or other["bottom"] <= one["top"] + 4
