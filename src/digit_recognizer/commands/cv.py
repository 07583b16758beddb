"""``cv``: print the CV report of a finished run."""

from typing import TYPE_CHECKING

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import FinishedRun, Folders

if TYPE_CHECKING:
    from digit_recognizer.runs.metrics import CvReport


def cv(*, run: FinishedRun = None, folders: Folders = Folders()) -> None:
    """Print the CV report of a finished run again."""
    from digit_recognizer.runs.metrics import CvReport
    from digit_recognizer.runs.run import find_run

    found = find_run(folders.submissions_dir, run)
    if not found.cv_path.is_file():
        raise found.unfinished_error()
    print_cv(found.name, CvReport.read(found.cv_path))


def print_cv(name: str, report: "CvReport") -> None:
    """Print the CV report of the run called `name`."""
    echo("\n".join([*_scores(name, report), "", *_classes(report), "", *_confusion(report)]))


def _scores(name: str, report: "CvReport") -> list[str]:
    from digit_recognizer.runs.metrics import duration

    low, high = report.cv_interval
    expected = report.expected_score
    folds = " ".join(f"{value:.5f}" for value in report.fold_accuracies.values())
    lines = [
        f"run {name}: {report.n_members} members, {duration(report.seconds)} of training,"
        f" {report.augment_share:.1%} of it augmentation",
        "",
        f"  out-of-fold accuracy  {report.cv_accuracy:.5f}"
        f"  ({report.n_errors} errors in {report.n_rows:,} rows;"
        f" 95 % interval {low:.5f} to {high:.5f})",
        f"  accuracy by fold      {folds}",
        f"  mean ± std            {report.fold_mean:.5f} ± {report.fold_std:.5f}",
        f"  log loss              {report.log_loss:.5f}",
        f"  expected score        {expected.low:.5f} to {expected.high:.5f}"
        f"  (95 % prediction interval for the submission, around {expected.middle:.5f})",
    ]
    if report.test_accuracy is not None:
        lines.append(f"  test accuracy         {report.test_accuracy:.5f}  (solution.csv)")
    if report.suspicious:
        lines.append("  warning: this is better than the labels allow: look for leaked test rows")
    return lines


def _classes(report: "CvReport") -> list[str]:
    header = "  digit  precision   recall       F1  support"
    rows = (
        f"  {row.digit:>5}  {row.precision:9.5f}  {row.recall:.5f}  {row.f1:.5f}  {row.support:7}"
        for row in report.classes
    )
    return [header, *rows]


def _confusion(report: "CvReport") -> list[str]:
    header = "  true \\ predicted" + "".join(f"{digit:>6}" for digit in range(10))
    rows = (
        f"  {digit:>16}" + "".join(f"{count or '.':>6}" for count in counts)
        for digit, counts in enumerate(report.confusion)
    )
    return [header, *rows]
