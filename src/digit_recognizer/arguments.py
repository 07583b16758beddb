"""The command line: every stage, option and setting, with its meaning and default.

argparse, fed from the typed recipe, and not a larger library: the package must also run where
nothing can be installed, start within 0.3 s, and put each error on one line.
"""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from digit_recognizer.learning.recipe import BLENDS, RECIPES, Recipe

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
    _add_compare(stage("compare", "train recipes as far as missing, and set them side by side"))
    _add_blend(stage("blend", "average finished runs into a new one"))
    stage("runs", "list all runs")
    _add_coverage(stage("coverage", "count how often scores lie in their expected interval"))
    cv = stage("cv", "print the CV report of a finished run again")
    report = stage("report", "draw a finished run's page of figures and digits anew")
    predict = stage("predict", "read the digits of pictures or pixel rows")
    play = stage("play", "a page to draw on, which a run's networks answer at once")
    for added in (cv, report, predict, play):
        added.add_argument("--run", help="the run's name; the latest finished one without it")
    predict.add_argument("--file", type=Path, required=True, help="PNG, JPEG, folder or CSV")
    _add_device(predict)
    play.add_argument("--port", type=_port, default=8000, help="0 takes any that is free")
    _add_bench(stage("bench", "measure training beside a plain loop and Deotte's networks"))
    stage("notebook", "run the whole workflow as a notebook, on the sample")
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
    known = ", ".join((*RECIPES, *BLENDS))
    parser.add_argument("--recipe", default="default", help=f"one of {known}")
    _add_training(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the dataset's folder under the data folder")
    known = ", ".join((*RECIPES, *BLENDS))
    parser.add_argument("--recipes", help=f"names with spaces between them, of {known}")
    _add_training(parser)


def _add_blend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", required=True, help="finished runs, with spaces between them")
    parser.add_argument("--run", required=True, help="the blend's name")


def _add_coverage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", help="finished runs to resample, with spaces between them")
    parser.add_argument("--resamples", type=_positive, default=1000, help="of RUNS's rows")
    parser.add_argument("--resplits", type=int, default=5, help="trained anew; 0 for none")
    parser.add_argument("--data", help="the dataset's folder under the data folder")
    parser.add_argument("--recipe", default="quick", help=f"of re-splits, {', '.join(RECIPES)}")
    _add_workers(parser)
    _add_device(parser)
    _add_settings(parser)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the dataset's folder under the data folder")
    parser.add_argument("--rounds", type=_positive, default=3, help="how often all is measured")
    parser.add_argument(
        "--seconds", type=_positive, default=12, help="that plain loops run in each round"
    )
    _add_device(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    _add_workers(parser)
    parser.add_argument(
        "--backend", choices=("processes", "ray"), default="processes", help="who runs members"
    )
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
    if limits["at_least"] is None:
        return ""
    return f"; {limits['at_least']:.10g} to {limits['at_most']:.10g}"


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    told = "members at a time; one a GPU or core without it; on a cluster, Ray decides"
    parser.add_argument("--workers", type=_positive, help=told)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"is {text!r}: give a whole number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}: give a whole number from 1 on")
    return int(text)
