"""argv in, exit code out; the only place that prints.

Stages are imported when they are called, so that ``--help`` does without torch. Where one
command needs several stages, they are chained here.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digit_recognizer.arguments import build_parser
from digit_recognizer.learning.recipe import Recipe, RecipeError, named_recipe
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.storage.files import StorageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; 0 if it went well, 1 for an error to mend, 2 for wrong usage."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(_STAGES[arguments.stage](arguments) or 0)
    except RecipeError as error:
        return _fail(2, error)
    except (StorageError, RemoteError) as error:
        code = _fail(1, error)
        if advice := getattr(error, "advice", ""):
            print(advice, file=sys.stderr)
        return code
    except KeyboardInterrupt:
        return _fail(130, "interrupted: what was done is kept; the same command goes on")
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
}


def _fail(code: int, message: object) -> int:
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def say(text: str) -> None:
    """Print a line to the screen at once; a reader who has left (``| head``) ends nothing."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _download(arguments: argparse.Namespace) -> None:
    _fetch(arguments.data_dir, arguments.source, arguments.mnist_url)


def _fetch(data_dir: Path, source: str, mnist_url: str | None = None) -> None:
    from digit_recognizer.display import transfer_progress
    from digit_recognizer.stages.download import download

    with transfer_progress() as progress:
        folder, provenance, fetched = download(data_dir, source, mnist_url, progress)
    verb = "is in place" if fetched else "is there already, intact"
    say(f"{folder}: {verb} ({len(provenance.sha256)} files verified)")
    if provenance.repeats and not provenance.may_submit and source not in ("mnist", "sample"):
        say(
            f"warning: {provenance.repeats} of its test images are training rows too:"
            " scores of runs trained on it mean nothing, and they are not submitted"
        )


def _recipe(arguments: argparse.Namespace) -> Recipe:
    changes = {
        name.removeprefix("setting_"): value
        for name, value in vars(arguments).items()
        if name.startswith("setting_")
    }
    return named_recipe(arguments.recipe, changes)


def _train(arguments: argparse.Namespace) -> None:
    recipe = _recipe(arguments)
    dataset = arguments.data or _default_dataset(arguments.data_dir)
    if dataset == "sample":
        say(SAMPLE_NOTE)
        _fetch(arguments.data_dir, "sample")
    from digit_recognizer.display import TrainingDisplay
    from digit_recognizer.stages.ensemble import finish
    from digit_recognizer.stages.pictures import draw_pictures
    from digit_recognizer.stages.train import Request, train

    request = Request(dataset, arguments.recipe, recipe)
    run = train(
        arguments.data_dir,
        arguments.submissions_dir,
        request,
        arguments.run,
        arguments.device,
        arguments.workers,
        TrainingDisplay(),
        say,
    )
    report = finish(run, arguments.data_dir)
    _print_report(run.name, report)
    say(f"\nsubmission: {run.submission_path}")
    for path in draw_pictures(run, arguments.data_dir):
        say(f"to look at: {path}")
    if dataset == "sample":
        say(SAMPLE_NOTE)


SAMPLE_NOTE = (
    "note: this is scikit-learn's small bundled sample, not Kaggle's digits: the result is not"
    " one to submit. 'make download' brings the competition's data."
)


def _default_dataset(data_dir: Path) -> str:
    """The competition's data if it is there, else downloaded if there are credentials."""
    from digit_recognizer.remote.credentials import find_credentials

    if (data_dir / "digit-recognizer" / "source.json").exists():
        return "digit-recognizer"
    if find_credentials() is None:
        return "sample"
    _fetch(data_dir, "kaggle")
    return "digit-recognizer"


def _cv(arguments: argparse.Namespace) -> None:
    from digit_recognizer.storage.files import read_json
    from digit_recognizer.storage.runs import RunError, finished_run

    run = finished_run(arguments.submissions_dir, arguments.run)
    if not run.cv_path.is_file():
        raise RunError(f"{run.run_dir}: is not finished: run 'make train RUN={run.name}'")
    _print_report(run.name, read_json(run.cv_path))


def _print_report(name: str, report: dict[str, Any]) -> None:
    from digit_recognizer.pages.cv_text import cv_text

    say(cv_text(name, report))


def _predict(arguments: argparse.Namespace) -> None:
    from digit_recognizer.learning.device import find_placements
    from digit_recognizer.pages.cv_text import answers_text
    from digit_recognizer.stages.predict import predict
    from digit_recognizer.storage.runs import finished_run

    run = finished_run(arguments.submissions_dir, arguments.run)
    placements, warning = find_placements(arguments.device)
    if warning:
        say(warning)
    answers, path = predict(run, arguments.file, placements[0])
    say(answers_text([(answer.name, answer.label, answer.proba) for answer in answers]))
    say(f"written to {path}")


def _submit(arguments: argparse.Namespace) -> None:
    from digit_recognizer.display import waiting_progress
    from digit_recognizer.stages.ensemble import finish
    from digit_recognizer.stages.submit import submit
    from digit_recognizer.storage.runs import finished_run

    run = None
    if arguments.run or not arguments.file:
        run = finished_run(arguments.submissions_dir, arguments.run)
        finish(run, arguments.data_dir)
    with waiting_progress() as waiting:
        submit(
            run,
            arguments.submissions_dir,
            arguments.data_dir,
            arguments.file,
            arguments.message,
            arguments.yes,
            arguments.force,
            _ask if sys.stdin.isatty() else None,
            say,
            waiting,
        )


def _ask(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _scores(arguments: argparse.Namespace) -> None:
    from digit_recognizer.pages.scores_table import scores_table
    from digit_recognizer.stages.scores import scores

    result = scores(arguments.submissions_dir, say)
    say(scores_table(result.runs, result.rank_correlation))
    if result.failure:
        raise result.failure


def _kernel(arguments: argparse.Namespace) -> None:
    from digit_recognizer.display import waiting_progress
    from digit_recognizer.stages.kernel import kernel
    from digit_recognizer.stages.train import Request
    from digit_recognizer.storage.files import read_json

    request = Request("digit-recognizer", arguments.recipe, _recipe(arguments))
    name = arguments.run or request.run_name
    seconds = arguments.wait * 60.0
    with waiting_progress() as waiting:
        run = kernel(
            arguments.submissions_dir,
            request.as_dict(),
            name,
            arguments.force,
            seconds,
            say,
            waiting,
        )
    if run:
        _print_report(run.name, read_json(run.cv_path))
        say(f"\nsubmission: {run.submission_path}")


def _doctor(arguments: argparse.Namespace) -> int:
    from digit_recognizer.pages.scores_table import checks_text
    from digit_recognizer.stages.doctor import doctor

    checks = doctor(arguments.data_dir, arguments.submissions_dir, arguments.device)
    say(checks_text([(item.well, item.what, item.found, item.advice) for item in checks]))
    return int(any(item.needed and not item.well for item in checks))


_STAGES = {
    "download": _download,
    "train": _train,
    "cv": _cv,
    "predict": _predict,
    "submit": _submit,
    "scores": _scores,
    "kernel": _kernel,
    "doctor": _doctor,
}
