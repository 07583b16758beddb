"""`make bench`: how fast training is, beside what it is compared with, in one go."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.environment import describe
from digit_recognizer.learning.bench import (
    Spent,
    alone,
    first_rows,
    images_an_epoch,
    matrix_peak,
    training_cost,
    training_flops,
    training_rate,
)
from digit_recognizer.learning.bench_plain import plain_images_per_second
from digit_recognizer.learning.bench_profile import time_shares
from digit_recognizer.learning.device import Placement, find_placements
from digit_recognizer.learning.fit import Rows
from digit_recognizer.learning.folds import Member, fold_of_rows
from digit_recognizer.learning.parallel import places
from digit_recognizer.learning.recipe import RECIPES, Recipe, recipe_of_run
from digit_recognizer.storage import datasets
from digit_recognizer.storage.files import read_json, write_json
from digit_recognizer.storage.runs import Run

RIVAL_NETWORKS = 15  # of Deotte's "25 Million Images", each on its own 90 % of the rows
RIVAL_SHARE = 0.9
ROW_SHARES, ROW_MEMBERS = (0.1, 0.2, 0.4, 0.8), 2
MEMBER_COUNTS, MEMBER_SHARE = (1, 2, 4), 0.2
GROWTH_EPOCHS = 2


@dataclass(frozen=True)
class Effort:
    """How often everything is measured, and for how many seconds the plain loops run each time."""

    rounds: int = 3
    seconds: float = 12.0


def bench(
    data_dir: Path,
    submissions_dir: Path,
    dataset: str,
    device: str,
    rival: Recipe,
    effort: Effort,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure everything, round by round, and write ``bench.json``; return its content.

    Parameters
    ----------
    rival : Deotte's network and training; extrapolated to 15 of them from timed steps
    say : takes a line for each measurement

    Raises
    ------
    StorageError, DeviceError, TooFewRowsError, WorkerDiedError
    """
    recipe = RECIPES["default"]
    data, provenance = datasets.load(data_dir / dataset)
    placements, warning = find_placements(device)
    if warning:
        say(warning)
    environment = describe(placements[0], provenance)
    placements = places(placements[:1], None)  # one GPU beside one GPU
    folds = fold_of_rows(data.labels, recipe.n_splits, recipe.split_seed)
    rows = first_rows(Rows(data.images, data.labels, folds, data.test_images), len(folds))
    measured = _Measurements(recipe, rival, rows, placements, effort, say)
    for number in range(1, effort.rounds + 1):
        measured.round(number)
    say("profile of one member's first epoch")
    shares = alone(time_shares, recipe, rows, Member(0, 0), placements[0])
    report = {
        "dataset": dataset,
        "n_rows": len(folds),
        "rounds": effort.rounds,
        "environment": environment,
        "training": measured.training(),
        "rival": measured.rival_time(own_seconds(submissions_dir, dataset, recipe, environment)),
        "peak": measured.peak(),
        "profile": shares,
        "growth": measured.growth(),
    }
    write_json(submissions_dir / "bench.json", report)
    return report


def own_seconds(
    submissions_dir: Path, dataset: str, recipe: Recipe, environment: dict[str, Any]
) -> float | None:
    """Seconds of the finished ``<dataset>-default``, if of this recipe and this machine."""
    run = Run(submissions_dir / f"{dataset}-default")
    if not run.is_done() or recipe_of_run(run.request()) != recipe:
        return None
    before = read_json(run.environment_path)
    alike = ("device", "hardware", "cores", "precision")
    return run.seconds() if all(before[key] == environment[key] for key in alike) else None


class _Measurements:
    """What the rounds brought: every figure as often as there were rounds."""

    def __init__(
        self,
        recipe: Recipe,
        rival: Recipe,
        rows: Rows,
        placements: Sequence[Placement],
        effort: Effort,
        say: Callable[[str], None],
    ) -> None:
        self._recipe, self._rival, self._rows = recipe, rival, rows
        self._placements, self._effort, self._say = placements, effort, say
        self._ours: list[float] = []
        self._plain: list[float] = []
        self._rivals: list[float] = []
        self._peaks: list[float] = []
        self._costs: dict[tuple[float, int], list[Spent]] = {}

    def round(self, number: int) -> None:
        """Measure everything once, the things compared one after the other."""
        device, seconds = self._placements[0].device, self._effort.seconds
        plain = (self._rows, device, seconds)
        before = f"round {number} of {self._effort.rounds}: "
        self._ours.append(alone(training_rate, self._recipe, self._rows, self._placements))
        self._say(f"{before}our training {self._ours[-1]:,.0f} images/s")
        self._plain.append(alone(plain_images_per_second, self._recipe, *plain))
        self._say(f"{before}plain loop {self._plain[-1]:,.0f} images/s")
        self._rivals.append(alone(plain_images_per_second, self._rival, *plain))
        self._say(f"{before}plain loop, Deotte's network {self._rivals[-1]:,.0f} images/s")
        self._peaks.append(alone(matrix_peak, self._placements, seconds / 4))
        self._say(f"{before}matrix products {self._peaks[-1] / 1e12:.2f} TFLOP/s")
        for share, members in sorted(
            {(share, ROW_MEMBERS) for share in ROW_SHARES}
            | {(MEMBER_SHARE, count) for count in MEMBER_COUNTS}
        ):
            cost = alone(training_cost, *self._growth_case(share, members), self._placements)
            self._costs.setdefault((share, members), []).append(cost)
            self._say(f"{before}{members} members on {share:.0%} of the rows {cost.seconds:.1f} s")

    def _growth_case(self, share: float, members: int) -> tuple[Recipe, Rows, int]:
        short = replace(self._recipe, epochs=GROWTH_EPOCHS)
        return short, first_rows(self._rows, round(share * len(self._rows.labels))), members

    def training(self) -> dict[str, Any]:
        """Images a second, ours and the plain loop's, and how many times as many."""
        ratios = [ours / plain for ours, plain in zip(self._ours, self._plain, strict=True)]
        return {
            "network": self._recipe.network,
            "batch_size": self._recipe.batch_size,
            "processes": len(self._placements),
            "ours": spread(self._ours),
            "plain": spread(self._plain),
            "ratio": spread(ratios),
        }

    def rival_time(self, finished_seconds: float | None) -> dict[str, Any]:
        """Time of Deotte's 15 networks in the plain loop, extrapolated, beside ours."""
        n_rows = round(RIVAL_SHARE * len(self._rows.labels))
        images = RIVAL_NETWORKS * self._rival.epochs * n_rows
        theirs = [images / rate for rate in self._rivals]
        recipe = self._recipe
        own_images = (
            recipe.epochs
            * recipe.n_seeds
            * sum(
                images_an_epoch(recipe, self._rows, Member(fold, 0))
                for fold in recipe.trained_folds
            )
        )
        ours = [finished_seconds or own_images / rate for rate in self._ours]
        return {
            "networks": RIVAL_NETWORKS,
            "epochs": self._rival.epochs,
            "rows": n_rows,
            "batch_size": self._rival.batch_size,
            "images_per_second": spread(self._rivals),
            "extrapolated_seconds": spread(theirs),
            "our_seconds": spread(ours),
            "ours_is_extrapolated": finished_seconds is None,
            "ratio": spread([a / b for a, b in zip(theirs, ours, strict=True)]),
        }

    def peak(self) -> dict[str, Any]:
        """The share of the machine's matrix peak that training reaches."""
        flops = training_flops(self._recipe.network)
        shares = [r * flops / peak for r, peak in zip(self._ours, self._peaks, strict=True)]
        return {
            "precision": self._placements[0].precision,
            "flops_per_second": spread(self._peaks),
            "training_flops_per_image": flops,
            "share": spread(shares),
        }

    def growth(self) -> dict[str, Any]:
        """Seconds and memory by rows and members, and how straight the line over rows is."""
        cases: list[dict[str, Any]] = [
            {
                "share": share,
                "rows": round(share * len(self._rows.labels)),
                "members": members,
                "images": costs[0].images,
                "seconds": spread([cost.seconds for cost in costs]),
                "memory": spread([float(cost.memory) for cost in costs]),
            }
            for (share, members), costs in sorted(self._costs.items())
        ]
        over_rows = [costs for (_, count), costs in self._costs.items() if count == ROW_MEMBERS]
        line = straight_line(
            [costs[0].images for costs in over_rows],
            [statistics.median(cost.seconds for cost in costs) for costs in over_rows],
        )
        return {"epochs": GROWTH_EPOCHS, "cases": cases, "line": line}


def straight_line(images: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    """Least squares through seconds over images, and the largest distance from it as a share."""
    slope, fixed = np.polyfit(images, seconds, 1)
    drawn = fixed + slope * np.asarray(images)
    away = np.abs(drawn / np.asarray(seconds) - 1)
    return {
        "fixed_seconds": float(fixed),
        "images_per_second": float(1 / slope),
        "largest_deviation": float(away.max()),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest value, and all of them in order of time."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }
