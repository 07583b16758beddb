"""A run's report as a person uses it, in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.browser import Visit
from support.written_runs import read_oof, write_run

from digit_recognizer.data.files import read_json
from digit_recognizer.report.page import write_report
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.predictions import OutOfFold
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member


@pytest.fixture(scope="module")
def run(shelf: Path) -> Run:
    """A finished run of 2 folds and 2 seeds with its report; some of its rows are errors."""
    run = write_run(shelf, "seen", skill=2.5, n_seeds=2, epochs=4)
    write_report(RunResults.read(run, shelf / "data"))
    return run


@pytest.fixture
def page(run: Run, visit: Callable[..., Visit]) -> Page:
    return visit(run.report_path).page


@pytest.fixture
def errors(run: Run) -> OutOfFold:
    """The errors, the most confident first."""
    oof = read_oof(run.oof_path)
    return OutOfFold(*(values[oof.most_confident_errors()] for values in vars(oof).values()))


def test_its_figures_are_those_of_cv_json(run: Run, page: Page) -> None:
    cv, headline = read_json(run.cv_path), page.locator("header").inner_text()
    expected = cv["expected_score"]
    figures = [cv["cv_accuracy"], *cv["cv_interval"], expected["low"], expected["high"]]
    assert all(f"{figure:.5f}" in headline for figure in [*figures, cv["test_accuracy"]])
    assert run.name in headline and "not to be submitted" in headline
    *terms, total = page.locator(".sum b").all_inner_texts()
    assert f"= {sum(float(term.replace('−', '-')) for term in terms):.5f}" == total
    assert total == f"= {expected['middle']:.5f}"
    rows = page.locator("#matrix tbody tr").all()
    counts = [[int(text or 0) for text in row.locator("td").all_inner_texts()] for row in rows]
    assert counts == cv["confusion"]
    for row, known in zip(page.locator("#classes tbody tr").all(), cv["classes"], strict=True):
        shown = [f"{known[key]:.4f}" for key in ("precision", "recall", "f1")]
        assert row.locator("td").all_inner_texts() == [*shown, f"{known['support']:,}"]


def test_all_scores_share_one_axis(run: Run, page: Page) -> None:
    edges = "element => (({ left, right }) => [left, right])(element.getBoundingClientRect())"
    ticks = page.locator(".ticks span").all()
    low, high = float(ticks[0].inner_text()), float(ticks[-1].inner_text())
    at_low, at_high = (sum(tick.evaluate(edges)) / 2 for tick in (ticks[0], ticks[-1]))
    scale = (high - low) / (at_high - at_low)
    cv = read_json(run.cv_path)
    intervals = [cv["cv_interval"], [cv["expected_score"][key] for key in ("low", "high")]]
    for bar, interval in zip(page.locator(".interval").all(), intervals, strict=True):
        scores = [low + (at - at_low) * scale for at in bar.evaluate(edges)]
        assert scores == pytest.approx(interval, abs=2 * scale)


def test_every_file_that_it_links_to_is_there(run: Run, page: Page) -> None:
    names = [link.get_attribute("href") or "" for link in page.locator(".facts a").all()]
    tables = ["submission.csv", "oof.csv", "cv.json", "label_issues.csv"]
    assert names == [*tables, "MODEL_CARD.md"]
    assert all((run.run_dir / name).is_file() for name in names)


def test_the_gallery_shows_two_rows_of_errors_and_all_on_demand(
    errors: OutOfFold, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    gallery = page.locator('[data-gallery="errors"]')
    cards = gallery.locator("li")
    assert len({card.evaluate("card => card.offsetTop") for card in cards.all()}) == 2
    gallery.get_by_role("button", name=f"Show all {len(errors.rows)}").click()
    known = zip(errors.labels, errors.predicted, errors.rows, strict=True)
    for shown, (label, predicted, row) in zip(cards.all_inner_texts(), known, strict=True):
        assert f"{label} → {predicted}" in shown
        assert f"Row {row}" in shown


def test_a_cell_of_the_confusion_matrix_opens_its_digits(errors: OutOfFold, page: Page) -> None:
    label, predicted = int(errors.labels[0]), int(errors.predicted[0])
    page.locator(f'#matrix [data-label="{label}"][data-predicted="{predicted}"]').click()
    both = ((errors.labels == label) & (errors.predicted == predicted)).sum()
    dialog = page.get_by_role("dialog")
    for number in [*range(1, both + 1), 1]:
        shown = dialog.inner_text()
        assert f"label {label}, predicted {predicted}" in shown
        assert f"{number} of {both}" in shown
        dialog.get_by_role("button", name="Next").click()


def test_a_keyboard_reaches_the_probabilities_of_a_digit(errors: OutOfFold, page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    row = errors.rows[0]
    card = page.locator(f'[data-gallery="errors"] button[aria-label^="Row {row}:"]')
    card.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Row {row}")
    shown = [float(text.split()[0]) for text in dialog.locator("td:last-child").all_inner_texts()]
    assert shown == pytest.approx(100 * errors.proba[0], abs=0.011)
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("dialog").get_by_role("heading").inner_text() != f"Row {row}"
    page.keyboard.press("ArrowLeft")
    assert dialog.is_visible()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert card.evaluate("card => card === document.activeElement")


def test_the_curves_and_the_table_have_the_values_of_history_csv(run: Run, page: Page) -> None:
    first, *_, last = [
        [f"{100 * value:.2f}\u00a0%" for value in (epoch.val_accuracy, epoch.train_accuracy)]
        for epoch in run.read_history(Member(0, 0))
    ]
    members = page.locator("#members tbody tr")
    assert members.count() == 4
    assert members.first.locator("td").all_inner_texts()[:2] == last
    titles = page.locator("#accuracy-plot title").all_text_contents()
    assert f"fold0-seed0, epoch 1\nheld out {first[0]}\ntraining {first[1]}" in titles


def test_the_last_epoch_is_a_dot_that_the_line_does_not_reach(page: Page) -> None:
    lines = page.locator("#accuracy-plot .line:not(.dashed)")
    dots = page.locator("#accuracy-plot .dot")
    ends = lines.evaluate_all("all => all.map(line => line.getBBox().x + line.getBBox().width)")
    starts = dots.evaluate_all("all => all.map(dot => dot.cx.baseVal.value)")
    assert len(starts) == 4
    assert all(end < start - 50 for end, start in zip(ends, starts, strict=True))


def test_no_mistake_among_240_rows_is_drawn_as_a_hundred_percent_and_not_as_five_nines(
    page: Page,
) -> None:
    ticks = page.evaluate("accuracyAxis([0.9, 1 - 1 / 240, 1]).ticks")
    assert sorted(ticks) == pytest.approx([0.9, 0.95, 0.98, 0.99, 0.995, 1])
    assert 4 <= page.evaluate("accuracyAxis([0.2, 0.99995]).ticks.length") < 8
    for lowest in (0.011, 0.23, 61, 3300):  # no round number lies in a range as narrow as this
        assert page.evaluate(f"logarithmic([{lowest}, {1.02 * lowest}]).ticks.length") >= 2


def test_the_navigation_marks_the_section_that_is_read(page: Page) -> None:
    for link in page.locator(".contents a").all():
        link.click()
        page.wait_for_function(
            "link => link.getAttribute('aria-current') === 'true'", arg=link.element_handle()
        )
        assert page.locator('.contents [aria-current="true"]').count() == 1
        heading = page.locator(f"{link.get_attribute('href')} h2")
        assert heading.inner_text() == link.inner_text()


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 360)])
def test_it_is_accessible_and_fits_in_light_and_dark_on_desk_and_phone(
    run: Run, visit: Callable[..., Visit], dark: bool, width: int
) -> None:
    opened = visit(run.report_path, dark=dark, width=width)
    assert opened.page.evaluate("document.documentElement.scrollHeight") < 8500
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.overflow() == 0
    assert opened.violations() == []
    opened.page.locator('[data-gallery="errors"] li button').first.click()
    assert opened.violations("dialog") == []
