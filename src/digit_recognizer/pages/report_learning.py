"""The report's last sections: training, calibration, augmentation and the ensemble."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning.calibration import Bin, calibration_error
from digit_recognizer.pages.report_blocks import percent, section, table
from digit_recognizer.pages.report_content import Augmentation, Calibration, Curve, Report
from digit_recognizer.pages.sprite import Sprite


def training(report: Report, sprite: Sprite) -> str:
    """Curves of all members, and a table that follows the chosen epoch."""
    last_epoch = max(len(curve.epochs) for curve in report.curves)
    head = (
        "Member",
        "Accuracy, held out",
        "Accuracy, training",
        "Loss, held out",
        "Loss, training",
    )
    rows = [_member(number, curve) for number, curve in enumerate(report.curves)]
    content = f"""<div class="plots">
<figure><h3>Accuracy</h3><div class="canvas" id="accuracy-plot"></div></figure>
<figure><h3>Loss</h3><div class="canvas" id="loss-plot"></div></figure></div>
<p class="soft">Solid: held out. Dashed: training, on augmented images{_smoothing(report)}. Both
scales are logarithmic. Before the last epoch, a glimpse of the held-out rows is judged; at the
last one, all of them and as at prediction.</p>
<p class="slider"><label for="epoch">Values at epoch</label>
<input type="range" id="epoch" min="1" max="{last_epoch}" value="{last_epoch}">
<output for="epoch" id="epoch-value">{last_epoch}</output></p>
{table("Each member at the chosen epoch", head, rows, "members")}
<p class="soft">{_by_fold(report.cv)}</p>"""
    return section(
        "training",
        "How the members trained",
        "A member is one network, named by the fold that it never saw and its seed. The length"
        " of training is fixed: held-out rows never pick an epoch.",
        content,
    )


def _member(number: int, curve: Curve) -> list[str]:
    """A row of the table, after the last epoch."""
    last = curve.epochs[-1]
    swatch = f'<span class="swatch s{number % 8}" aria-hidden="true"></span>'
    return [
        swatch + escape(curve.name),
        *(percent(last[key]) for key in ("val_accuracy", "train_accuracy")),
        *(f"{last[key]:.4f}" for key in ("val_loss", "train_loss")),
    ]


def _by_fold(cv: dict[str, Any]) -> str:
    folds = ", ".join(f"fold {fold} {value:.5f}" for fold, value in cv["fold_accuracies"].items())
    return (
        f"All held-out rows: {folds}; mean {cv['fold_mean']:.5f}, standard deviation"
        f" {cv['fold_std']:.5f}; log loss {cv['log_loss']:.5f}."
    )


def _smoothing(report: Report) -> str:
    smoothed = report.request.get("label_smoothing")
    return " and smoothed labels, so its loss lies higher" if smoothed else ""


def calibration(report: Report, sprite: Sprite) -> str:
    """Reliability before and after temperature scaling."""
    result = report.calibration
    rows = [_bin(*pair) for pair in _paired(result.before, result.after)]
    head = ("Confidence", "Rows", "Said", "Right", "Rows, scaled", "Said, scaled", "Right, scaled")
    bins = table("Rows by confidence, before and after scaling", head, rows, "bins")
    content = f"""<div class="beside">
<figure><div class="canvas" id="reliability-plot"></div>
<figcaption>Share of rows that were right, by how sure the networks were; on the diagonal, they
mean what they say. Larger dots are more rows, bars are 95 % intervals.</figcaption></figure>
{_calibration_figures(result)}</div>
<details><summary>The same as a table</summary>{bins}</details>"""
    return section(
        "calibration",
        "Does 90 % mean 90 %?",
        "How far the probabilities can be taken at their word, on held-out rows (15 bins; Guo,"
        " Pleiss, Sun, Weinberger 2017). Scaling changes how sure, never what is said.",
        content,
    )


def _calibration_figures(result: Calibration) -> str:
    before, after = calibration_error(result.before), calibration_error(result.after)
    coldest, hottest = min(result.temperatures), max(result.temperatures)
    spread = f"{coldest:.2f}" if hottest - coldest < 0.005 else f"{coldest:.2f} to {hottest:.2f}"
    if hottest < 1:
        meaning = ": they were less sure than they may be"
    elif coldest > 1:
        meaning = ": they were too sure"
    else:
        meaning = ""
    return f"""<dl class="figures">
<div><dt>Expected calibration error</dt><dd>{percent(before, 3)}</dd>
<dd class="small">as the networks say it</dd></div>
<div><dt>After temperature scaling</dt><dd>{percent(after, 3)}</dd>
<dd class="small">each fold at the temperature fitted on the others, {spread}{meaning}</dd></div>
<div><dt>Log loss</dt><dd>{result.log_loss[0]:.4f} → {result.log_loss[1]:.4f}</dd>
<dd class="small">before and after</dd></div></dl>"""


def _paired(before: list[Bin], after: list[Bin]) -> list[tuple[Bin | None, Bin | None]]:
    by_place = [{round(item.low, 6): item for item in bins} for bins in (before, after)]
    places = sorted({*by_place[0], *by_place[1]})
    return [(by_place[0].get(place), by_place[1].get(place)) for place in places]


def _bin(before: Bin | None, after: Bin | None) -> list[str]:
    known = before or after
    assert known is not None
    cells = [f"{percent(known.low, 0)} to {percent(known.high, 0)}"]
    for item in (before, after):
        cells += (
            ["0", "", ""]
            if item is None
            else [f"{item.n_rows:,}", percent(item.confidence), percent(item.hits / item.n_rows)]
        )
    return cells


def augmentation(report: Report, sprite: Sprite) -> str:
    """Draws of each policy, and the views that are averaged at prediction."""
    return section(
        "augmentation",
        "What augmentation does",
        "In training, each digit is drawn anew in every epoch. On the left the digit as it is,"
        " then draws of the run's own policy.",
        "\n".join(_policy(item, sprite) for item in report.augmentations),
    )


def _policy(item: Augmentation, sprite: Sprite) -> str:
    n_draws = item.draws.shape[1] - 1
    rows = "".join(
        _digits(draws, f"a digit and {n_draws} draws of it", sprite) for draws in item.draws
    )
    count = len(item.views)
    looks = (
        "the image itself"
        if count == 1
        else f"the mean over {count} views where the first leaves doubt"
    )
    views = _digits(item.views, f"{count} views of a digit", sprite)
    return f"""<div class="policy"><div><h3>{escape(", ".join(item.runs))}</h3>
<p class="soft">{escape(item.settings)}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Draws of the augmentation">{rows}</div>
</div><div><h3>At prediction</h3><p class="soft">{looks}</p>{views}</div></div>"""


def _digits(images: NDArray[np.uint8], meaning: str, sprite: Sprite) -> str:
    shown = "".join(sprite.html(image, "") for image in images)
    return f'<div class="draws" role="img" aria-label="{meaning}">{shown}</div>'


def teamwork(report: Report, sprite: Sprite) -> str:
    """Figures by number of members, of test rows and, where several saw none, of held-out rows."""
    accuracy = [
        [str(row["members"]), f"{row['accuracy']:.5f}", f"{row['low']:.5f} to {row['high']:.5f}"]
        for row in report.accuracy_by_size
    ]
    gain = [
        [str(row["members"]), f"{row['gain']:+.5f}", percent(row["agreement"], 3)]
        for row in report.gain_by_size
    ]
    parts = []
    if len(accuracy) > 1:
        head = ("Networks", "Accuracy", "Worst to best")
        title = "Held-out rows: accuracy by number of networks"
        parts.append(_by_size("accuracy-by-size", title, head, accuracy))
    if len(gain) > 1:
        head = ("Members", "Promised gain", "Agrees with all")
        title = "Test rows: promised gain over one member"
        parts.append(_by_size("gain-by-size", title, head, gain))
    return section(
        "teamwork", "How much each member adds", _what_can_be_known(report), "\n".join(parts)
    )


def _by_size(key: str, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"""<h3>{title}</h3><div class="beside">
<div class="canvas" id="{key}"></div>{table(title, head, rows, f"{key}-table")}</div>"""


def _what_can_be_known(report: Report) -> str:
    if report.cv["n_members"] == 1:
        return "There is one member only: nothing is added."
    if len(report.accuracy_by_size) > 1:
        known = (
            "Members are added in several orders, and the figures averaged. Held-out rows are"
            " judged only by networks that never saw them."
        )
    else:
        known = (
            "Each training row was held out by one member only, so no ensemble can be scored on"
            " known labels in this run."
        )
    gain = report.cv["expected_score"]["gain"]
    return (
        f"{known} The promised gain on the test rows needs no label: it takes the mean"
        " probabilities of all members at their word. The expected score counts on"
        f" {gain:+.5f} beyond the out-of-fold accuracy."
    )
