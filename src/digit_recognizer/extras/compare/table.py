"""The comparison of recipes: as text for the terminal, as CSV, and as a page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from digit_recognizer.commands.console import columns
from digit_recognizer.report.html import render

# Of the page's first table; the other columns are in a second one, which is folded.
MAIN_COLUMNS = [
    *("recipe", "out of fold", "95 % interval", "rows", "seconds", "parameters", "McNemar p")
]
TEMPLATE = Path(__file__).with_name("compare.html.j2")


@dataclass(frozen=True)
class Claim:
    """An accuracy as its author states it (None: no figure), and what it was measured on."""

    accuracy: float | None = None
    kind: str = ""

    def __str__(self) -> str:
        return self.kind if self.accuracy is None else f"{self.accuracy:g} ({self.kind})"


CLAIMS = {
    "lenet5": Claim(0.987, "own validation rows"),
    "simple-cnn": Claim(0.96, "MNIST test"),
    "two-conv": Claim(None, "no figure"),
    "mlp": Claim(0.97, "MNIST test"),
    "keras-cnn": Claim(0.98930, "Kaggle; 0.9617 on its own test rows"),
    "deotte": Claim(0.99641, "MNIST test, mean of single networks; Kaggle 0.99757 with 15"),
    "ttdoucet": Claim(0.9974, "MNIST test, single networks; 0.99826 with 15"),
    # An et al. 2020: the epoch and the combination were picked on the test rows.
    "mnist-m3": Claim(0.9987, "MNIST test, with M5 and M7, chosen on it"),
    "mnist-m5": Claim(0.9987, "MNIST test, with M3 and M7, chosen on it"),
    "mnist-m7": Claim(0.9987, "MNIST test, with M3 and M5, chosen on it"),
    "matuzas77": Claim(0.9975, "MNIST test, mean of single networks; 0.9983 with 20"),
}


@dataclass(frozen=True)
class ComparedRun:
    """One recipe's finished run, in figures.

    ``train_accuracy`` is the last epoch's, while training, mean over members; ``precision`` and
    ``recall`` are means over the digits. ``parameters`` and ``multiply_adds`` (of one 28x28
    image) are those of one network, in a blend of one network of each part. ``member_seconds``
    are summed over members, ``wall_seconds`` are those of the clock. ``images_per_second`` are
    training images of the median epoch, on the one core (or GPU) that a member has.
    ``p_value`` is McNemar's against the reference on their ``common_rows``.
    """

    recipe: str
    run: str
    cv_accuracy: float
    cv_low: float
    cv_high: float
    n_rows: int
    train_accuracy: float
    precision: float
    recall: float
    test_accuracy: float | None
    parameters: int
    multiply_adds: int
    n_members: int
    member_seconds: float
    wall_seconds: float
    images_per_second: float
    common_rows: int | None
    p_value: float | None

    @property
    def claim(self) -> Claim:
        """The accuracy that the author of the system claims for it."""
        return CLAIMS.get(self.recipe, Claim())

    @property
    def cells(self) -> dict[str, str]:
        """The texts of its row by their column; ``-`` where there is no figure."""
        return {
            "recipe": self.recipe,
            "claimed": _or_dash(self.claim.accuracy, ".5f"),
            "out of fold": f"{self.cv_accuracy:.5f}",
            "95 % interval": f"{self.cv_low:.5f} to {self.cv_high:.5f}",
            "rows": f"{self.n_rows:,}",
            "training": f"{self.train_accuracy:.5f}",
            "precision": f"{self.precision:.5f}",
            "recall": f"{self.recall:.5f}",
            "test": _or_dash(self.test_accuracy, ".5f"),
            "parameters": f"{self.parameters:,}",
            "mult-adds": f"{self.multiply_adds / 1e6:.2f}M",
            "seconds": f"{self.member_seconds:,.0f}",
            "wall s": f"{self.wall_seconds:,.0f}",
            "images/s": f"{self.images_per_second:,.0f}",
            "McNemar p": _or_dash(self.p_value, ".2g"),
        }


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def notes(reference: str | None) -> list[str]:
    """Return what the columns mean."""
    against = f"the run {reference}" if reference else "a run of `default`, of which there is none"
    return [
        "claimed: the author's own figure, on the author's own rows; test: only where the dataset has a solution",
        "out of fold: rows that the networks never saw; training: the last epoch's accuracy,"
        " measured while training (augmentation and dropout at work), mean over members",
        "precision, recall: means over the ten digits; parameters, multiply-adds: of one network"
        " and one 28x28 image (a blend: of one network of each part)",
        "seconds: training, summed over members, each on one core or GPU; wall s: by the clock;"
        " images/s: training images of the median epoch, for each core or GPU",
        f"McNemar p: the exact test against {against}, on the rows that both predict; below 0.05"
        " one of the two is better, else the rows are too few to tell",
    ]


def compare_text(runs: Sequence[ComparedRun], reference: str | None) -> str:
    """Return a table with its notes; `reference` is the run that McNemar's test is against."""
    rows = [list(run.cells.values()) for run in runs]
    return "\n".join([columns([list(runs[0].cells), *rows]), "", *notes(reference)])


def compare_csv(runs: Sequence[ComparedRun]) -> str:
    """Return the same with full precision; empty where there is no figure."""
    claims = [{"claimed": run.claim.accuracy, "claimed_of": run.claim.kind} for run in runs]
    rows = [{**asdict(run), **claim} for run, claim in zip(runs, claims, strict=True)]
    # As objects, whole numbers stay so beside missing ones.
    text: str = pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
    return text


def compare_page(runs: Sequence[ComparedRun], dataset: str, reference: str | None) -> str:
    """Return the page: a plot of error against time, and every figure in a table."""
    points = [_point(run) for run in runs]
    front = pareto_front([(point["seconds"], point["errors"][1]) for point in points])
    return render(
        TEMPLATE,
        data=[{**point, "front": index in front} for index, point in enumerate(points)],
        dataset=dataset,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        main=MAIN_COLUMNS,
        more=[column for column in runs[0].cells if column not in MAIN_COLUMNS],
        rows=[run.cells for run in runs],
        notes=notes(reference),
        claims=[(run.recipe, run.claim) for run in runs if run.claim.kind],
    )


def _point(run: ComparedRun) -> dict[str, Any]:
    """Return a recipe's name, seconds of training, errors (above 0), and figures as text.

    The errors are the lower end of the 95 % interval, the error itself, and the upper end.
    """
    # No error seen does not mean none to come, and has no logarithm.
    accuracies = (run.cv_high, run.cv_accuracy, run.cv_low)
    errors = [max(1 - accuracy, 0.5 / run.n_rows) for accuracy in accuracies]
    text = (
        f"{run.recipe}: out-of-fold accuracy {run.cv_accuracy:.5f}"
        f" ({run.cv_low:.5f} to {run.cv_high:.5f}), {run.member_seconds:,.0f} seconds of training,"
        f" {run.parameters:,} parameters"
    )
    seconds = max(run.member_seconds, 0.1)
    return {"name": run.recipe, "seconds": seconds, "errors": errors, "text": text}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indexes of the (seconds, error) that no other point equals or beats in both."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=points.__getitem__):
        if not front or points[index][1] < points[front[-1]][1]:
            front.append(index)
    return front
