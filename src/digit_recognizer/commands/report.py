"""``report``: draw the page of a finished run."""

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import FinishedRun, Folders


def report(*, run: FinishedRun = None, folders: Folders = Folders()) -> None:
    """Draw report.html of a finished run again."""
    from digit_recognizer.runs.run import find_run

    found = find_run(folders.submissions_dir, run)  # before torch takes seconds to import
    from digit_recognizer.report.figures import draw_pictures
    from digit_recognizer.report.page import write_report
    from digit_recognizer.runs.ensemble import RunResults

    results = RunResults.read(found, folders.data_dir)
    echo(f"to look at: {write_report(results)}")
    draw_pictures(results)
