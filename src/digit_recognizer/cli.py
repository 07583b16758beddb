"""The commands and where they are; the one place where an error becomes a line and an exit code."""

import errno
import logging
import os
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from digit_recognizer import __version__
from digit_recognizer.commands.console import PrintHandler, print_error, program
from digit_recognizer.errors import UserError

# The errors of a disk, which name no file.
FULL_OR_READ_ONLY = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)

# Modules are imported when their command runs, so that --help does without torch.
COMMANDS = {
    "download": ("commands.download", "Fetch a dataset and verify it."),
    "train": ("commands.train", "Train, ensemble, write submission.csv and the CV report."),
    "blend": ("commands.blend", "Average finished runs into a new one."),
    "cv": ("commands.cv", "Print the CV report of a finished run again."),
    "report": ("commands.report", "Draw report.html of a finished run again."),
    "runs": ("commands.runs", "List all runs."),
    "predict": ("commands.predict", "Predict the digits of images or of a CSV of pixels."),
    "submit": ("commands.submit", "Check a run's submission, upload it, fetch its score."),
    "scores": ("commands.scores", "Fetch public scores and compare all runs."),
    "doctor": ("commands.doctor", "Check what download, train and submit need."),
    "play": ("extras.play", "Draw digits in the browser; a run's networks predict them."),
    "compare": ("extras.compare", "Train recipes on the same folds and compare them."),
    "coverage": ("extras.coverage", "Count how often scores lie in their prediction interval."),
    "bench": ("extras.bench", "Measure training speed beside a plain PyTorch loop."),
    "kernel": ("extras.kernel.command", "Train on Kaggle's GPU and fetch the run."),
    "notebook": ("extras.notebook", "Run the whole workflow as a notebook."),
}


def build_app() -> App:
    """Build the command line of all commands."""
    app = App(
        suppress_keyboard_interrupt=False,
        name=program(),
        help="Kaggle's Digit Recognizer, end to end.",
        help_format="plaintext",
        default_parameter=Parameter(allow_repeating=True),  # the last one counts
        version=__version__,
    )
    for name, (module, summary) in COMMANDS.items():
        app.command(f"digit_recognizer.{module}:{name}", name=name, help=summary)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 for an error to fix, 2 for wrong usage, 130 for Ctrl-C."""
    logger = logging.getLogger("digit_recognizer")
    logger.handlers = [PrintHandler()]  # one, however often this is called
    logger.setLevel(logging.INFO)
    try:
        code = build_app()(
            argv, exit_on_error=False, print_error=False, result_action="return_value"
        )
        return int(code or 0)
    except CycloptsError as error:
        fault = str(error)
        if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
            fault = f"unexpected argument {error.unused_tokens[0]!r}"
        return _fail(2, f'{fault} (see ARGS="--help")')
    except UserError as error:
        return _fail(error.exit_code, error, error.advice)
    except OSError as error:
        if error.filename is None and error.errno not in FULL_OR_READ_ONLY:
            raise
        where = os.fsdecode(error.filename or "the disk")[:300]
        advice = "give another path, fix the permissions, or make room"
        return _fail(1, f"{where}: {error.strerror or error}: {advice}")
    except KeyboardInterrupt:
        return _fail(130, "interrupted: repeat the command; a training continues from what it kept")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("digit_recognizer"):
            raise
        advice = "install digit-recognizer[notebook,cluster], in a clone by 'make .venv/.cluster'"
        return _fail(1, f"{error.name} is not installed: {advice}")


def _fail(code: int, message: object, advice: str = "") -> int:
    print_error(f"error: {' '.join(str(message).split())}")
    if advice:
        print_error(advice)
    return code
