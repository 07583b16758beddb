"""argv in, exit code out: which command answers which stage, and what an error comes to."""

from collections.abc import Sequence

from digit_recognizer.arguments import build_parser
from digit_recognizer.commands import dataset, kaggle, looking, measuring, training
from digit_recognizer.commands.screen import complain
from digit_recognizer.learning.recipe import RecipeError
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.storage.files import StorageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; 0 if it went well, 1 for an error to mend, 2 for wrong usage."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(_COMMANDS[arguments.stage](arguments) or 0)
    except RecipeError as error:
        return _fail(2, error)
    except (StorageError, RemoteError) as error:
        code = _fail(1, error)
        if advice := getattr(error, "advice", ""):
            complain(advice)
        return code
    except KeyboardInterrupt:
        return _fail(130, "interrupted: what was done is kept; the same command goes on")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("digit_recognizer"):
            raise
        return _fail(1, f"{error.name} is not installed: 'make setup' installs all there is")
    except Exception as error:
        if type(error).__name__ in _USER_ERRORS:
            return _fail(_USER_ERRORS[type(error).__name__], error)
        raise


# By name, because importing the modules that define them would import torch or scikit-learn.
_USER_ERRORS = {
    "DeviceError": 2,
    "TooFewRowsError": 1,
    "DivergedError": 1,
    "OutOfMemoryError": 1,
    "WorkerDiedError": 1,
    "ClusterError": 1,
}


def _fail(code: int, message: object) -> int:
    complain(f"error: {' '.join(str(message).split())}")
    return code


_COMMANDS = {
    "download": dataset.download,
    "train": training.train,
    "compare": measuring.compare,
    "blend": training.blend,
    "runs": looking.runs,
    "coverage": measuring.coverage,
    "cv": looking.cv,
    "report": looking.report,
    "predict": looking.predict,
    "play": looking.play,
    "notebook": looking.notebook,
    "bench": measuring.bench,
    "submit": kaggle.submit,
    "scores": kaggle.scores,
    "kernel": kaggle.kernel,
    "doctor": kaggle.doctor,
}
