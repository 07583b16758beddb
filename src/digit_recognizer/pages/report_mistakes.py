"""The report's first sections: what was taken for what, in figures and in digits."""

from digit_recognizer.pages.report_blocks import section, table
from digit_recognizer.pages.report_content import Report
from digit_recognizer.pages.sprite import Sprite

DIGITS = range(10)
FEW = 24  # digits that are seen at a glance, without filters


def confusion(report: Report, sprite: Sprite) -> str:
    """The confusion matrix, whose cells open their digits, and the figures of each class."""
    head = "".join(f'<th scope="col">{digit}</th>' for digit in DIGITS)
    matrix = report.cv["confusion"]
    most = max(matrix[i][j] for i in DIGITS for j in DIGITS if i != j) or 1
    rows = "".join(
        f'<tr><th scope="row">{label}</th>'
        + "".join(_cell(label, said, count, most) for said, count in enumerate(counts))
        + "</tr>"
        for label, counts in enumerate(matrix)
    )
    classes = [
        [
            str(row["digit"]),
            *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")),
            f"{row['support']:,}",
        ]
        for row in report.cv["classes"]
    ]
    figures = table(
        "Figures of each class",
        ("Digit", "Precision", "Recall", "F1", "Support"),
        classes,
        "classes",
    )
    content = f"""<div class="columns"><div>
<div class="choices" role="group" aria-label="Cells show">
<button data-cells="counts" aria-pressed="true">All counts</button>
<button data-cells="errors" aria-pressed="false">Errors only</button></div>
<table id="matrix"><caption>Rows: label. Columns: prediction.</caption>
<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>
</div>
<div><h3>By class</h3>{figures}</div></div>
<div id="cell" role="region" aria-live="polite" aria-label="Digits of the chosen cell" hidden></div>"""
    return section(
        "confusion",
        "What is taken for what",
        "Held-out rows by their label and what the networks took them for. A cell opens its"
        " digits; on the diagonal, those that were right but least sure.",
        content,
    )


def _cell(label: int, said: int, count: int, most: int) -> str:
    if not count:
        return '<td class="none"></td>'
    kind = "right" if label == said else "wrong"
    # By the root, so that a single error is still seen; above 40 % the number is hard to read.
    share = f"--share:{6 + 34 * min(1.0, count / most) ** 0.5:.0f}%"
    meaning = f"label {label}, taken for {said}: {count}"
    return (
        f'<td class="{kind}"><button style="{share}" data-label="{label}" data-said="{said}"'
        f' aria-pressed="false" aria-label="{meaning}">{count}</button></td>'
    )


def hardest(report: Report, sprite: Sprite) -> str:
    """A gallery of the out-of-fold errors."""
    shown, n_errors = len(report.errors), report.cv["n_errors"]
    capped = f" Of {n_errors:,} errors, the {shown:,} surest are here." if shown < n_errors else ""
    return section(
        "hardest",
        "The hardest digits",
        "Every held-out row that was taken for another digit, the surest mistakes first."
        f"{capped} Rows count from 0, so row 0 is line 2 of train.csv.",
        _gallery(
            "errors",
            "Errors",
            _choices("errors", "label", "Label"),
            _choices("errors", "said", "Taken for"),
        ),
    )


def issues(report: Report, sprite: Sprite) -> str:
    """A gallery of labels that are probably wrong."""
    n_issues, shown = report.n_issues, len(report.issues)
    if not n_issues:
        found = "None was found in this run."
    elif shown < n_issues:
        found = f"{n_issues:,} rows, of which the {shown:,} most suspicious are here."
    else:
        found = f"{n_issues:,} {'row' if n_issues == 1 else 'rows'}, the most suspicious first."
    filters = [_choices("issues", "label", "Label"), _choices("issues", "said", "Suggested")]
    return section(
        "issues",
        "Labels that are probably wrong",
        f"{found} Found by confident learning (Northcutt, Jiang, Chuang 2021) from"
        " predictions of networks that never saw the row; all of them stand in"
        " <code>label_issues.csv</code>. They are there to look at: no score leaves them out.",
        _gallery("issues", "Label errors", *filters[: 2 * (shown > FEW)]) if n_issues else "",
    )


def disputed(report: Report, sprite: Sprite) -> str:
    """A gallery of the test rows that members say different things about."""
    if report.cv["n_members"] > 1:
        lead = (
            f"The {len(report.disputed)} test rows on which the members contradict each other"
            " most (mutual information of prediction and member)."
        )
    else:
        lead = f"The {len(report.disputed)} test rows that the one member is least sure of."
    return section(
        "disputed",
        "Test rows in dispute",
        f"{lead} Their labels have no part in this; the number is the submission's ImageId.",
        _gallery("disputed", "Test rows", _choices("disputed", "said", "Taken for")),
    )


def _gallery(name: str, meaning: str, *filters: str) -> str:
    return f"""<div class="gallery" data-gallery="{name}">
{"".join(filters)}
<p class="soft count" role="status"></p>
<ul class="digits" aria-label="{meaning}"></ul>
<button class="more" hidden>Show more</button></div>"""


def _choices(name: str, key: str, title: str) -> str:
    buttons = "".join(
        f'<button data-key="{key}" data-digit="{digit}" aria-pressed="false">{digit}</button>'
        for digit in DIGITS
    )
    return (
        f'<div class="choices digits-of" role="group" aria-labelledby="{name}-{key}">'
        f'<span class="label" id="{name}-{key}">{title}</span>'
        f'<button data-key="{key}" data-digit="" aria-pressed="true">All</button>{buttons}</div>'
    )
