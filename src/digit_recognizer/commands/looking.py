"""What looks at finished runs: `cv`, `report`, `runs`, `predict`, `play`; and `notebook`."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.screen import say

if TYPE_CHECKING:
    from digit_recognizer.storage.runs import Run


def cv(arguments: Namespace) -> None:
    """Print the CV report of a finished run again."""
    from digit_recognizer.storage.finding import find_run

    run = find_run(arguments.submissions_dir, arguments.run)
    if not run.cv_path.is_file():
        raise run.unfinished()
    print_cv(run)


def print_cv(run: "Run") -> None:
    """Print a finished run's CV report."""
    from digit_recognizer.pages.cv_text import cv_text
    from digit_recognizer.storage.files import read_json

    say(cv_text(run.name, read_json(run.cv_path)))


def print_result(run: "Run") -> None:
    """Print a finished run's CV report, and where its submission is."""
    print_cv(run)
    say(f"\nsubmission: {run.submission_path}")


def report(arguments: Namespace) -> None:
    """Draw a finished run's page anew."""
    from digit_recognizer.stages import report as stage
    from digit_recognizer.storage.finding import find_run

    run = find_run(arguments.submissions_dir, arguments.run)
    say(f"to look at: {stage.report(run, arguments.data_dir)}")


def draw_report(run: "Run", data_dir: Path) -> None:
    """Draw a page that is missing or older than the scores; a warning where that fails."""
    try:
        from digit_recognizer.stages import report as stage

        path = run.report_path if stage.is_drawn(run) else stage.report(run, data_dir)
        say(f"to look at: {path}")
    except Exception as error:  # whatever it is: the run is finished and good without a picture
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"warning: no report ({reason}): 'make report RUN={run.name}' tries again")


def runs(arguments: Namespace) -> None:
    """List all runs."""
    from digit_recognizer.pages.runs_table import runs_table
    from digit_recognizer.stages.runs import list_runs

    say(runs_table(list_runs(arguments.submissions_dir)))


def predict(arguments: Namespace) -> None:
    """Read the digits of pictures or pixel rows."""
    from digit_recognizer.learning.device import find_placements
    from digit_recognizer.pages.cv_text import answers_text
    from digit_recognizer.stages import predict as stage
    from digit_recognizer.storage.finding import find_run

    run = find_run(arguments.submissions_dir, arguments.run)
    placements, warning = find_placements(arguments.device)
    if warning:
        say(warning)
    answers, path = stage.predict(run, arguments.file, placements[0])
    say(answers_text([(answer.name, answer.label, answer.proba) for answer in answers]))
    say(f"written to {path}")


def play(arguments: Namespace) -> None:
    """Serve a page to draw on."""
    from digit_recognizer.stages import play as stage
    from digit_recognizer.storage.finding import find_run

    run = find_run(arguments.submissions_dir, arguments.run)
    stage.play(run, arguments.data_dir, arguments.port, say)


def notebook(arguments: Namespace) -> None:
    """Run the whole workflow as a notebook."""
    from digit_recognizer.stages import notebook as stage

    path = stage.notebook(arguments.submissions_dir, say)
    say(f"to read: {path}")
