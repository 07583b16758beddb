"""A run's report as one HTML page."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from digit_recognizer.pages import report_headline, report_learning, report_mistakes
from digit_recognizer.pages.look import page, part
from digit_recognizer.pages.report_content import Curve, Digit, Report
from digit_recognizer.pages.sprite import COLUMNS, Sprite

SECTIONS: tuple[Callable[[Report, Sprite], str], ...] = (
    report_mistakes.confusion,
    report_mistakes.hardest,
    report_mistakes.issues,
    report_mistakes.disputed,
    report_learning.training,
    report_learning.calibration,
    report_learning.augmentation,
    report_learning.teamwork,
)


def report_page(report: Report) -> str:
    """The whole page as HTML."""
    sprite = Sprite()
    data = _data(report, sprite)
    body = [
        report_headline.headline(report),
        report_headline.contents(),
        '<main id="main" tabindex="-1">',
        *(draw(report, sprite) for draw in SECTIONS),
        "</main>",
        report_headline.closing(report),
        f"<style>\n{part('report.css')}{sprite.css()}\n</style>",
    ]
    script = part("plots.js") + part("gallery.js") + part("report.js")
    return page(f"{report.name}: report", "\n".join(body), data, script)


def _data(report: Report, sprite: Sprite) -> dict[str, Any]:
    """What the page's scripts read."""
    galleries = {
        name: [_digit(digit, sprite) for digit in getattr(report, name)]
        for name in ("errors", "unsure", "issues", "disputed")
    }
    return {
        "columns": COLUMNS,
        **galleries,
        "curves": [_curve(curve) for curve in report.curves],
        "calibration": {
            "before": [asdict(item) for item in report.calibration.before],
            "after": [asdict(item) for item in report.calibration.after],
        },
        "gain": report.gain_by_size,
        "accuracy": report.accuracy_by_size,
    }


def _digit(digit: Digit, sprite: Sprite) -> dict[str, Any]:
    """A row for the gallery; probabilities in hundredths of a percent keep the page small."""
    shown: dict[str, Any] = {
        "at": sprite.place(digit.image),
        "row": digit.row,
        "said": digit.said,
        "p": np.rint(digit.proba * 10_000).astype(int).tolist(),
    }
    if digit.label is not None:
        shown["label"] = digit.label
    if digit.votes:
        shown["votes"] = list(digit.votes)
    return shown


def _curve(curve: Curve) -> dict[str, Any]:
    columns = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    values = {key: [float(f"{epoch[key]:.6g}") for epoch in curve.epochs] for key in columns}
    return {"name": curve.name, **values}
