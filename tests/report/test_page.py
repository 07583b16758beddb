"""A run's report as a person uses it, in a real browser."""

from collections.abc import Callable

import pytest
from support.browser import Visit
from support.written_runs import read_oof

from digit_recognizer.data.files import read_json
from digit_recognizer.runs.predictions import OutOfFold
from digit_recognizer.runs.run import Run
from digit_recognizer.training.members import Member

Visiting = Callable[..., Visit]


def errors(run: Run) -> OutOfFold:
    oof = read_oof(run.oof_path)
    wrong = oof.labels != oof.predicted
    return OutOfFold(*(values[wrong] for values in vars(oof).values()))


def test_its_figures_are_those_of_cv_json(reported: Run, visit: Visiting) -> None:
    cv, page = read_json(reported.cv_path), visit(reported.report_path).page
    headline = page.locator("header").inner_text()
    assert reported.name in headline
    assert f"{cv['cv_accuracy']:.5f}" in headline
    assert f"{cv['cv_interval'][0]:.5f} to {cv['cv_interval'][1]:.5f}" in headline
    expected = cv["expected_score"]
    assert f"{expected['low']:.5f} to {expected['high']:.5f}" in headline
    assert f"{cv['test_accuracy']:.5f}" in headline
    assert "not to be submitted" in headline
    start, mix, gain, total = page.locator(".sum b").all_inner_texts()
    added = float(start) + sum(float(term.replace("−", "-")) for term in (mix, gain))
    assert f"= {added:.5f}" == total
    assert total == f"= {expected['middle']:.5f}"
    rows = page.locator("#matrix tbody tr").all()
    counts = [[int(text or 0) for text in row.locator("td").all_inner_texts()] for row in rows]
    assert counts == cv["confusion"]
    for row, known in zip(page.locator("#classes tbody tr").all(), cv["classes"], strict=True):
        shown = [f"{known[key]:.4f}" for key in ("precision", "recall", "f1")]
        assert row.locator("td").all_inner_texts() == [*shown, f"{known['support']:,}"]


def test_the_result_is_larger_than_the_name_and_all_scores_share_one_axis(
    reported: Run, visit: Visiting
) -> None:
    cv, page = read_json(reported.cv_path), visit(reported.report_path).page
    size = "element => parseFloat(getComputedStyle(element).fontSize)"
    result, name = page.locator(".scores dd").first, page.locator("h1")
    assert result.evaluate(size) > 1.5 * name.evaluate(size)
    edges = (
        "element => [element.getBoundingClientRect().left, element.getBoundingClientRect().right]"
    )
    ticks = [
        (float(tick.inner_text()), sum(tick.evaluate(edges)) / 2)
        for tick in page.locator(".ticks span").all()
    ]
    (low, at_low), *_, (high, at_high) = ticks
    expected = cv["expected_score"]
    intervals = [cv["cv_interval"], [expected["low"], expected["high"]]]
    for bar, interval in zip(page.locator(".interval").all(), intervals, strict=True):
        scores = [
            low + (at - at_low) * (high - low) / (at_high - at_low) for at in bar.evaluate(edges)
        ]
        assert scores == pytest.approx(interval, abs=2 * (high - low) / (at_high - at_low))


def test_every_file_that_it_links_to_is_there(reported: Run, visit: Visiting) -> None:
    links = visit(reported.report_path).page.locator(".facts a")
    names = [link.get_attribute("href") or "" for link in links.all()]
    tables = ["submission.csv", "oof.csv", "cv.json", "label_issues.csv"]
    assert names == [*tables, "MODEL_CARD.md"]
    assert all((reported.run_dir / name).is_file() for name in names)


def test_the_gallery_shows_two_rows_of_errors_and_all_on_demand(
    reported: Run, visit: Visiting
) -> None:
    known, page = errors(reported), visit(reported.report_path, width=500).page
    gallery = page.locator('[data-gallery="errors"]')
    cards = gallery.locator("li")
    assert len({card.evaluate("card => card.offsetTop") for card in cards.all()}) == 2
    gallery.get_by_role("button", name=f"Show all {len(known.rows)}").click()
    assert cards.count() == len(known.rows)
    surest = known.proba.max(axis=1).argmax()
    first = cards.first.inner_text()
    assert f"Row {known.rows[surest]}" in first
    assert f"{known.labels[surest]} → {known.predicted[surest]}" in first


def test_a_cell_of_the_confusion_matrix_opens_its_digits(reported: Run, visit: Visiting) -> None:
    known, page = errors(reported), visit(reported.report_path).page
    label, predicted = int(known.labels[0]), int(known.predicted[0])
    page.locator(f'#matrix [data-label="{label}"][data-predicted="{predicted}"]').click()
    both = ((known.labels == label) & (known.predicted == predicted)).sum()
    dialog = page.get_by_role("dialog")
    for number in range(1, both + 1):
        shown = dialog.inner_text()
        assert f"label {label}, predicted {predicted}" in shown
        assert f"{number} of {both}" in shown
        dialog.get_by_role("button", name="Next").click()
    assert f"1 of {both}" in dialog.inner_text()


def test_a_keyboard_reaches_the_probabilities_of_a_digit(reported: Run, visit: Visiting) -> None:
    known, page = errors(reported), visit(reported.report_path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    row = known.rows[0]
    card = page.locator(f'[data-gallery="errors"] button[aria-label^="Row {row}:"]')
    card.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Row {row}")
    shown = dialog.locator("td:last-child").all_inner_texts()
    assert [float(text.split()[0]) for text in shown] == pytest.approx(
        100 * known.proba[0], abs=0.011
    )
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("dialog").get_by_role("heading").inner_text() != f"Row {row}"
    page.keyboard.press("ArrowLeft")
    assert dialog.is_visible()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert card.evaluate("card => card === document.activeElement")


def test_the_curves_and_the_table_have_the_values_of_history_csv(
    reported: Run, visit: Visiting
) -> None:
    page = visit(reported.report_path).page
    history = reported.read_history(Member(0, 0))
    members = page.locator("#members tbody tr")
    assert members.count() == 4
    last = [
        f"{100 * value:.2f}\u00a0%"
        for value in (history[-1].val_accuracy, history[-1].train_accuracy)
    ]
    assert members.first.locator("td").all_inner_texts()[:2] == last
    titles = page.locator("#accuracy-plot title").all_text_contents()
    first = [
        f"{100 * value:.2f}\u00a0%"
        for value in (history[0].val_accuracy, history[0].train_accuracy)
    ]
    assert f"fold0-seed0, epoch 1\nheld out {first[0]}\ntraining {first[1]}" in titles


def test_the_last_epoch_is_a_dot_that_the_line_does_not_reach(
    reported: Run, visit: Visiting
) -> None:
    plot = visit(reported.report_path).page.locator("#accuracy-plot")
    ends = plot.locator(".line:not(.dashed)").evaluate_all(
        "lines => lines.map(line => line.getPointAtLength(line.getTotalLength()).x)"
    )
    dots = plot.locator(".dot").evaluate_all("dots => dots.map(dot => dot.cx.baseVal.value)")
    assert len(dots) == 4
    for end, dot in zip(ends, dots, strict=True):
        assert end < dot - 50


def test_no_mistake_among_240_rows_is_drawn_as_a_hundred_percent_and_not_as_five_nines(
    reported: Run, visit: Visiting
) -> None:
    page = visit(reported.report_path).page
    ticks = page.evaluate(
        "(() => { const axis = nines([0.9, 1 - 1 / 240, 1]); return axis.ticks.map(axis.show); })()"
    )
    assert set(ticks) == {"90 %", "95 %", "98 %", "99 %", "99.5 %", "100 %"}
    many = page.evaluate("nines([0.2, 0.99995]).ticks.length")
    assert 4 <= many < 8


def test_the_navigation_marks_the_section_that_is_read(reported: Run, visit: Visiting) -> None:
    page = visit(reported.report_path).page
    for link in page.locator(".contents a").all():
        link.click()
        page.wait_for_function(
            "link => link.getAttribute('aria-current') === 'true'", arg=link.element_handle()
        )
        assert page.locator('.contents [aria-current="true"]').count() == 1
        heading = page.locator(f"{link.get_attribute('href')} h2")
        assert heading.inner_text() == link.inner_text()


def test_on_a_phone_the_page_is_not_endless(reported: Run, visit: Visiting) -> None:
    page = visit(reported.report_path, width=390).page
    assert page.evaluate("document.documentElement.scrollHeight") < 8500


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 360)])
def test_it_is_accessible_and_fits_in_light_and_dark_on_desk_and_phone(
    reported: Run, visit: Visiting, dark: bool, width: int
) -> None:
    opened = visit(reported.report_path, dark=dark, width=width)
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.overflow() == 0
    assert opened.violations() == []
    opened.page.locator('[data-gallery="errors"] li button').first.click()
    assert opened.violations("dialog") == []
