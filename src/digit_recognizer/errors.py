"""Errors that a user can fix: one line each, with what to do.

The classes below are all of them. Functions do not repeat in their docstrings that they raise them.
Errors of the file system, a missing package and Ctrl-C become one line too (see `cli.main`);
everything else is a bug and ends in a traceback.
"""


class UserError(Exception):
    """An error that the user can fix.

    `message` is one line that names the file, the row or the setting, and says what to do;
    `advice` are further lines, where one is not enough.
    """

    exit_code = 1  # of the process

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.advice = advice


class UsageError(UserError):
    """A command line that asks for something impossible."""

    exit_code = 2


class RecipeError(UsageError):
    """A setting that is unknown, of the wrong type or out of range."""


class DeviceError(UsageError):
    """A device that this machine does not have."""


class FileError(UserError):
    """A file that is missing, damaged or cannot be written."""


class FormatError(FileError):
    """A CSV file that breaks the competition's format."""


class RunError(FileError):
    """A run that is missing, unfinished, damaged or begun with other settings."""


class NoDigitError(FileError):
    """An image without a digit."""


class TrainingError(UserError):
    """Training that cannot start or cannot go on."""


class KaggleError(UserError):
    """A request that Kaggle refuses, or that cannot reach it."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
