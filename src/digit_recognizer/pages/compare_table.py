"""The comparison of recipes as text for the terminal and as CSV for programs."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from digit_recognizer.pages.compare_claims import CLAIMS, Claim
from digit_recognizer.pages.plain import columns


@dataclass(frozen=True)
class Compared:
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
        """What the author of the system claims for it."""
        return CLAIMS.get(self.recipe, Claim(None, ""))


HEADER = (
    "recipe",
    "claimed",
    "out of fold",
    "95 % interval",
    "rows",
    "training",
    "precision",
    "recall",
    "test",
    "parameters",
    "mult-adds",
    "seconds",
    "wall s",
    "images/s",
    "McNemar p",
)


def cells(row: Compared) -> tuple[str, ...]:
    """A row's texts, in the order of HEADER; ``-`` where there is no figure."""
    return (
        row.recipe,
        _or_dash(row.claim.accuracy, ".5f"),
        f"{row.cv_accuracy:.5f}",
        f"{row.cv_low:.5f} to {row.cv_high:.5f}",
        f"{row.n_rows:,}",
        f"{row.train_accuracy:.5f}",
        f"{row.precision:.5f}",
        f"{row.recall:.5f}",
        _or_dash(row.test_accuracy, ".5f"),
        f"{row.parameters:,}",
        _or_dash(row.multiply_adds / 1e6, ".2f") + "M",
        f"{row.member_seconds:,.0f}",
        f"{row.wall_seconds:,.0f}",
        f"{row.images_per_second:,.0f}",
        _or_dash(row.p_value, ".2g"),
    )


def claim_words(claim: Claim) -> str:
    """The figure and what it was measured on."""
    return claim.kind if claim.accuracy is None else f"{claim.accuracy:g} ({claim.kind})"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def notes(reference: str | None) -> list[str]:
    """What the columns mean."""
    against = f"the run {reference}" if reference else "a run of `default`, of which there is none"
    return [
        "claimed: the author's own figure, on the author's own rows (compare.csv and compare.html say which);"
        " test: only where the dataset has a solution",
        "out of fold: rows that the networks never saw; training: the last epoch's accuracy,"
        " measured while training (augmentation and dropout at work), mean over members",
        "precision, recall: means over the ten digits; parameters, multiply-adds: of one network"
        " and one 28x28 image (a blend: of one network of each part)",
        "seconds: training, summed over members, each on one core or GPU; wall s: by the clock;"
        " images/s: training images of the median epoch, for each core or GPU",
        f"McNemar p: his exact test against {against}, on the rows that both predict",
    ]


def compare_text(rows: Sequence[Compared], reference: str | None) -> str:
    """A table with its notes."""
    return "\n".join([columns([HEADER, *map(cells, rows)]), "", *notes(reference)])


def compare_csv(rows: Sequence[Compared]) -> str:
    """The same with full precision; empty where there is no figure."""
    text = io.StringIO()
    names = [item.name for item in fields(Compared)]
    table = csv.DictWriter(text, [*names, "claimed", "claimed_of"], lineterminator="\n")
    table.writeheader()
    for row in rows:
        claim = {"claimed": row.claim.accuracy, "claimed_of": row.claim.kind}
        table.writerow({**asdict(row), **claim})
    return text.getvalue()
