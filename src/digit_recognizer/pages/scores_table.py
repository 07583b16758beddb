"""Texts of `make scores` and `make doctor`."""

from collections.abc import Sequence
from typing import Protocol

from digit_recognizer.pages.plain import columns
from digit_recognizer.pages.public_score import suspicion


class Row(Protocol):
    """A finished run and its last upload."""

    @property
    def run(self) -> str: ...  # noqa: D102
    @property
    def dataset(self) -> str: ...  # noqa: D102
    @property
    def recipe(self) -> str: ...  # noqa: D102
    @property
    def cv_accuracy(self) -> float: ...  # noqa: D102
    @property
    def cv_interval(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def expected_score(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def status(self) -> str | None: ...  # noqa: D102
    @property
    def public_score(self) -> float | None: ...  # noqa: D102
    @property
    def difference(self) -> float | None: ...  # noqa: D102
    @property
    def date(self) -> str: ...  # noqa: D102


HEADER = ("run", "dataset", "recipe", "CV accuracy", "expected", "public", "difference", "date")


def scores_table(rows: Sequence[Row], rank_correlation: float | None) -> str:
    """A table of runs, their rank correlation where it is known, and scores too good to be true."""
    if not rows:
        return "no finished run yet: 'make train' makes one"
    lines = [columns([HEADER, *map(_cells, rows)])]
    if rank_correlation is not None:
        lines += ["", f"rank correlation of CV accuracy and public score: {rank_correlation:+.2f}"]
    lines += [
        f"warning: {row.run}: {doubt}"
        for row in rows
        if row.public_score is not None and (doubt := suspicion(row.public_score))
    ]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.cv_interval
    score = (row.status or "-") if row.public_score is None else f"{row.public_score:.5f}"
    return (
        row.run,
        row.dataset,
        row.recipe,
        f"{row.cv_accuracy:.5f} ± {(high - low) / 2:.5f}",
        f"{row.expected_score[0]:.5f} to {row.expected_score[1]:.5f}",
        score,
        "-" if row.difference is None else f"{row.difference:+.5f}",
        row.date or "-",
    )


def checks_text(checks: Sequence[tuple[bool, str, str, str]]) -> str:
    """Lines of whether it is well, what, what was found, and what to do."""
    width = max(len(what) for _, what, _, _ in checks)
    lines = []
    for well, what, found, advice in checks:
        lines.append(f"{'✓' if well else '✗'} {what:<{width}}  {found}")
        for number, line in enumerate(advice.splitlines()):
            lines.append(f"  {'':<{width}}  {'   ' if number else '-> '}{line}")
    return "\n".join(lines)
