"""Every run of the folder as a table of plain text."""

from collections.abc import Sequence
from dataclasses import dataclass

from digit_recognizer.pages.plain import columns

HEADER = (
    "run",
    "dataset",
    "recipe",
    "members",
    "CV accuracy",
    "expected score",
    "public",
    "minutes",
    "when",
    "state",
)


@dataclass(frozen=True)
class ListedRun:
    """One folder under ``submissions/``; what is not known is None, ``state`` says why."""

    name: str
    state: str  # finished, unfinished, or what is wrong with it
    when: str = "-"
    dataset: str = "-"
    recipe: str = "-"
    members: tuple[int, int] | None = None  # done, of how many
    cv_accuracy: float | None = None
    expected_score: tuple[float, float] | None = None
    public_score: float | None = None
    seconds: float | None = None


def runs_table(runs: Sequence[ListedRun]) -> str:
    """A table of runs in the order given."""
    if not runs:
        return "no run yet: 'make train' makes one"
    return columns([HEADER, *map(_cells, runs)])


def _cells(run: ListedRun) -> tuple[str, ...]:
    expected = run.expected_score
    return (
        run.name,
        run.dataset,
        run.recipe,
        "-" if run.members is None else f"{run.members[0]}/{run.members[1]}",
        "-" if run.cv_accuracy is None else f"{run.cv_accuracy:.5f}",
        "-" if expected is None else f"{expected[0]:.5f} to {expected[1]:.5f}",
        "-" if run.public_score is None else f"{run.public_score:.5f}",
        "-" if run.seconds is None else f"{run.seconds / 60:.1f}",
        run.when,
        run.state,
    )
