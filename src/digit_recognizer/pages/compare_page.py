"""``compare.html``: recipes by error against time, and every figure in a table."""

from collections.abc import Sequence
from html import escape

from digit_recognizer.pages.compare_plot import Point, plot
from digit_recognizer.pages.compare_table import HEADER, Compared, cells, claim_words, notes
from digit_recognizer.pages.look import page

STYLE = """<style>
.wide { min-width: 36rem; }
.point { outline: none; }
.point text { fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }
.point:hover .dot, .point:focus .dot { stroke: var(--ink); stroke-width: 2.5; }
.front { stroke-dasharray: 5 4; }
</style>"""
READ_OUT = """
const shown = document.getElementById("shown"), before = shown.textContent;
for (const point of document.querySelectorAll(".point")) {
  const words = () => { shown.textContent = point.getAttribute("aria-label"); };
  const back = () => { shown.textContent = before; };
  point.addEventListener("pointerenter", words); point.addEventListener("focus", words);
  point.addEventListener("pointerleave", back); point.addEventListener("blur", back);
}
"""


def compare_page(rows: Sequence[Compared], dataset: str, reference: str | None) -> str:
    """The whole page; `reference` is the run that McNemar's test is against."""
    body = f"""{STYLE}
<header class="masthead">
<p class="eyebrow">Digit Recognizer · {escape(dataset)}</p>
<h1>Recipes compared</h1>
<p>{len(rows)} recipes, each judged by networks on training rows that they never saw.</p>
</header>
<main id="main" tabindex="-1">
<section aria-labelledby="time"><h2 id="time">Error against time</h2>
<p>Lower and further left is better. The dashed line is the Pareto front: no recipe is both
faster and more accurate than one on it.</p>
<figure><div class="scroll" tabindex="0" role="region" aria-label="Plot of error against time">
<div class="wide">{plot([_point(row) for row in rows])}</div></div>
<figcaption id="shown">Point at a recipe, or move to it with the Tab key, for its figures.
</figcaption></figure></section>
<section aria-labelledby="figures"><h2 id="figures">Every figure</h2>
{_table(rows)}
<ul class="soft">{"".join(f"<li>{escape(note)}</li>" for note in notes(reference))}</ul>
{_claims(rows)}
</section>
</main>
<footer>Written by <code>make compare</code>; <code>compare.csv</code> beside it holds the same
figures with full precision.</footer>"""
    return page("Recipes compared", body, None, READ_OUT)


def _claims(rows: Sequence[Compared]) -> str:
    claimed = [row for row in rows if row.claim.kind]
    if not claimed:
        return ""
    lines = "".join(
        f"<li>{escape(row.recipe)}: {escape(claim_words(row.claim))}</li>" for row in claimed
    )
    return f'<h3>What their authors claim</h3>\n<ul class="soft">{lines}</ul>'


def _point(row: Compared) -> Point:
    # No error seen does not mean none to come, and has no logarithm.
    error = max(1 - row.cv_accuracy, 0.5 / row.n_rows)
    words = (
        f"{row.recipe}: out-of-fold accuracy {row.cv_accuracy:.5f}"
        f" ({row.cv_low:.5f} to {row.cv_high:.5f}), {row.member_seconds:,.0f} seconds of training,"
        f" {row.parameters:,} parameters"
    )
    return Point(row.recipe, max(row.member_seconds, 0.1), error, words)


def _table(rows: Sequence[Compared]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in HEADER)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in texts)
        + "</tr>"
        for name, *texts in map(cells, rows)
    ]
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of figures"><table>'
        f"<caption>Recipes, the most accurate first</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
