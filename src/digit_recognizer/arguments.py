"""The command line: every stage, option and setting, with its meaning and default.

argparse, fed from the typed recipe, and not a larger library: the package must also run where
nothing can be installed, start within 0.3 s, and put each error on one line.
"""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from digit_recognizer.learning.recipe import RECIPES, Recipe

REPOSITORY = Path(__file__).parents[2]


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage before them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all stages; its `stage` names the one that was called."""
    parser = _Parser(prog="digit_recognizer", description="Kaggle's Digit Recognizer, end to end.")
    stages = parser.add_subparsers(title="stages", required=True, metavar="STAGE", dest="stage")

    def stage(name: str, meaning: str) -> argparse.ArgumentParser:
        added = stages.add_parser(
            name,
            help=meaning,
            description=meaning,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        for option, default in (("data", "data"), ("submissions", "submissions")):
            folder = REPOSITORY / default
            added.add_argument(
                f"--{option}-dir", type=Path, default=folder, help=f"the folder of {option}"
            )
        return added

    _add_download(stage("download", "fetch a dataset and verify it"))
    _add_train(stage("train", "train, ensemble, write submission and CV report"))
    cv = stage("cv", "print the CV report of a finished run again")
    predict = stage("predict", "read the digits of pictures or pixel rows")
    for added in (cv, predict):
        added.add_argument("--run", help="the run's name; the latest finished one without it")
    predict.add_argument("--file", type=Path, required=True, help="PNG, JPEG, folder or CSV")
    _add_device(predict)
    _add_submit(stage("submit", "check a run's submission, upload it, fetch its score"))
    stage("scores", "fetch the scores and compare all runs")
    _add_kernel(stage("kernel", "train on Kaggle's GPU and bring the run back"))
    _add_device(stage("doctor", "check what download, train and submit need"))
    return parser


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", help="the run's name; the latest finished one without it")
    parser.add_argument("--file", type=Path, help="another file than the run's submission.csv")
    parser.add_argument("--message", help="what Kaggle shows beside it; run and CV without it")
    parser.add_argument("--yes", action="store_true", help="upload without asking")
    parser.add_argument(
        "--force", action="store_true", help="although the same file was uploaded before"
    )


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", default="kaggle", help="kaggle, mnist, sample, or a path to a zip or folder"
    )
    parser.add_argument("--mnist-url", help="another mirror of MNIST")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the dataset's folder under the data folder")
    parser.add_argument("--run", help="the run's name; made from dataset and recipe without it")
    parser.add_argument("--recipe", default="default", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--workers", type=_positive, help="members at a time on a CPU; one a core")
    _add_device(parser)
    _add_settings(parser)


def _add_kernel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", help="the run's name; made from the recipe without it")
    parser.add_argument("--recipe", default="default", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--wait", type=_positive, default=180, help="for the end, minutes at most")
    parser.add_argument(
        "--force", action="store_true", help="push it anew although it ended, well or not"
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    settings = parser.add_argument_group(
        "settings", "They change the recipe; the defaults shown are those of `default`."
    )
    for item in fields(Recipe):
        settings.add_argument(
            f"--{item.name.replace('_', '-')}",
            dest=f"setting_{item.name}",
            type=item.type,
            default=argparse.SUPPRESS,
            metavar=str(getattr(item.type, "__name__", item.type)).upper(),
            help=f"{item.metadata['help']}{_range(item.metadata)} (default: {item.default})",
        )


def _range(limits: Any) -> str:
    if limits["choices"]:
        return f"; one of {', '.join(limits['choices'])}"
    return f"; {limits['at_least']:.10g} to {limits['at_most']:.10g}"


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"is {value}: give a whole number from 1")
    return value
