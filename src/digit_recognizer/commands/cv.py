"""``cv``: print the CV report of a finished run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import FinishedRun, Folders

if TYPE_CHECKING:
    from digit_recognizer.runs.metrics import CvReport


def cv(*, run: FinishedRun = None, folders: Folders = Folders()) -> None:
    """Print the CV report of a finished run again."""
    from digit_recognizer.runs.metrics import duration
    from digit_recognizer.runs.run import find_run

    found = find_run(folders.submissions_dir, run)
    report = found.cv()
    time = f"{duration(report.seconds)} of training, {report.augment_share:.1%} of it augmentation"
    echo(f"run {found.name}: {report.n_members} members, {time}\n")
    echo("\n".join([*_scores(report), "", *_tables(report)]))


def _scores(report: "CvReport") -> Iterator[str]:
    from digit_recognizer.runs.metrics import CV_WARNING

    low, high = report.cv_interval
    errors = f"{report.n_errors} errors in {report.n_rows:,} rows"
    interval = f"95 % interval {low:.5f} to {high:.5f}"
    yield f"  CV accuracy           {report.cv_accuracy:.5f}  ({errors}; {interval})"
    folds = " ".join(f"{value:.5f}" for value in report.fold_accuracies.values())
    yield f"  accuracy by fold      {folds}"
    yield f"  mean ± std            {report.fold_mean:.5f} ± {report.fold_std:.5f}"
    yield f"  log loss              {report.log_loss:.5f}"
    expected = report.expected_score
    around = f"95 % prediction interval for the submission, around {expected.middle:.5f}"
    yield f"  expected score        {expected}  ({around})"
    if report.test_accuracy is not None:
        yield f"  test accuracy         {report.test_accuracy:.5f}  (solution.csv)"
    if report.suspicious:
        yield f"  warning: {CV_WARNING}"


def _tables(report: "CvReport") -> Iterator[str]:
    yield "  digit  precision   recall       F1  support"
    for row in report.classes:
        scores = f"{row.precision:9.5f}  {row.recall:.5f}  {row.f1:.5f}"
        yield f"  {row.digit:>5}  {scores}  {row.support:7}"
    yield "\n  true \\ predicted" + "".join(f"{digit:>6}" for digit in range(10))
    for digit, counts in enumerate(report.confusion):
        yield f"  {digit:>16}" + "".join(f"{count or '.':>6}" for count in counts)
