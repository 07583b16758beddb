"""The CV report and predictions as plain text."""

from collections.abc import Sequence
from typing import Any

MOST_ANSWERS = 40  # lines on the screen; the CSV holds all


def cv_text(name: str, report: dict[str, Any]) -> str:
    """The content of a run's ``cv.json`` for the terminal."""
    low, high = report["cv_interval"]
    expected = report["expected_score"]
    folds = " ".join(f"{value:.5f}" for value in report["fold_accuracies"].values())
    lines = [
        f"run {name}: {report['n_members']} members, {duration(report['seconds'])} of training,"
        f" {report['augment_share']:.1%} of it augmentation",
        "",
        f"  out-of-fold accuracy  {report['cv_accuracy']:.5f}"
        f"  ({report['n_errors']} errors in {report['n_rows']:,} rows;"
        f" 95 % interval {low:.5f} to {high:.5f})",
        f"  accuracy by fold      {folds}",
        f"  mean ± std            {report['fold_mean']:.5f} ± {report['fold_std']:.5f}",
        f"  log loss              {report['log_loss']:.5f}",
        f"  expected score        {expected['low']:.5f} to {expected['high']:.5f}"
        f"  (95 % prediction interval for the submission, around {expected['middle']:.5f})",
    ]
    if "test_accuracy" in report:
        lines.append(f"  test accuracy         {report['test_accuracy']:.5f}  (solution.csv)")
    if report["suspicious"]:
        lines.append("  warning: this is better than the labels allow: look for leaked test rows")
    return "\n".join([*lines, "", *_classes(report), "", *_confusion(report["confusion"])])


def _classes(report: dict[str, Any]) -> list[str]:
    rows = ["  digit  precision   recall       F1  support"]
    for row in report["classes"]:
        rows.append(
            f"  {row['digit']:>5}  {row['precision']:9.5f}  {row['recall']:.5f}"
            f"  {row['f1']:.5f}  {row['support']:7}"
        )
    return rows


def _confusion(matrix: list[list[int]]) -> list[str]:
    rows = ["  true \\ predicted" + "".join(f"{digit:>6}" for digit in range(10))]
    for digit, counts in enumerate(matrix):
        rows.append(f"  {digit:>16}" + "".join(f"{count or '.':>6}" for count in counts))
    return rows


def duration(seconds: float) -> str:
    """Seconds as a person says them, such as ``10 min 44 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def answers_text(answers: Sequence[tuple[str, int, Sequence[float]]]) -> str:
    """A table of names, labels and probabilities."""
    shown = answers[:MOST_ANSWERS]
    width = max(5, *(len(name) for name, _, _ in shown))
    lines = [f"{'image':<{width}}  label" + "".join(f"{f'p({d})':>7}" for d in range(10))]
    for name, label, proba in shown:
        lines.append(f"{name:<{width}}  {label:>5}" + "".join(f"{p:7.3f}" for p in proba))
    if len(answers) > len(shown):
        lines.append(f"... and {len(answers) - len(shown):,} more")
    return "\n".join(lines)
