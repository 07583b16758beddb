"""`make train`: train the members that are still missing."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from digit_recognizer.environment import describe, joined_machines
from digit_recognizer.learning.cost import network_cost
from digit_recognizer.learning.device import Placement, find_placements
from digit_recognizer.learning.fit import Epoch, Rows, Trained
from digit_recognizer.learning.folds import Member, all_members, fold_of_rows
from digit_recognizer.learning.parallel import Backend, find_backend, places
from digit_recognizer.learning.recipe import RECIPES, Recipe, recipe_as_dict, settings_before
from digit_recognizer.storage import datasets
from digit_recognizer.storage.files import read_json, write_json
from digit_recognizer.storage.opening import open_run, room_for
from digit_recognizer.storage.runs import Predictions, Run, checked_name

BYTES_OF_PREDICTIONS = 4 * 2**20  # with a member's history; its weights come on top


class Watcher(Protocol):
    """Someone who is told how a training goes on."""

    def begin(self, members: Sequence[Member], done: Sequence[Member], epochs: int) -> None:
        """Training starts; `done` are the members kept from before."""

    def epoch(self, member: Member, epoch: Epoch) -> None:
        """A member finished an epoch."""

    def end(self) -> None:
        """Training is over, well or not."""


@dataclass(frozen=True)
class Request:
    """What `make train` was asked for."""

    dataset: str
    recipe_name: str
    recipe: Recipe

    @property
    def run_name(self) -> str:
        """``<dataset>-<recipe>``, with a short hash of the settings that were changed."""
        named = recipe_as_dict(RECIPES[self.recipe_name])
        changed = {k: v for k, v in recipe_as_dict(self.recipe).items() if named[k] != v}
        name = f"{self.dataset}-{self.recipe_name}"
        if not changed:
            return name
        text = json.dumps(changed, sort_keys=True)
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def as_dict(self) -> dict[str, Any]:
        """The content of ``recipe.json``."""
        return {
            "dataset": self.dataset,
            "recipe": self.recipe_name,
            **recipe_as_dict(self.recipe),
        }


def train(
    data_dir: Path,
    submissions_dir: Path,
    request: Request,
    run_name: str | None,
    device: str,
    workers: int | None,
    watcher: Watcher,
    say: Callable[[str], None],
    backend: str = "processes",
) -> Run:
    """Train what is missing of a run and keep each member as soon as it is done.

    Parameters
    ----------
    run_name : folder under `submissions_dir`; from the request if None
    device : ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``
    workers : members at a time, see `places`
    say : takes warnings
    backend : ``processes`` of this machine, or ``ray`` for tasks of a Ray cluster

    Raises
    ------
    StorageError, DeviceError, TooFewRowsError, DivergedError, WorkerDiedError, ClusterError
        With what to do; the members that are done are kept.
    """
    run = Run(submissions_dir / checked_name(run_name or request.run_name))
    data, provenance = datasets.load(data_dir / request.dataset)
    recipe = request.recipe
    folds = fold_of_rows(data.labels, recipe.n_splits, recipe.split_seed)
    placements, warning = find_placements(device)
    if warning:
        say(warning)
    environment = describe(placements[0], provenance)
    train_with = find_backend(backend)
    with open_run(run, request.as_dict(), environment, settings_before()):
        rows = Rows(data.images, data.labels, folds, data.test_images)
        kept = set(run.member_names())
        missing = [member for member in all_members(recipe) if member.name not in kept]
        if missing:
            _prepare(run, recipe, len(missing), environment)
            _train_missing(
                run, recipe, rows, missing, places(placements, workers), watcher, train_with
            )
    return run


def _prepare(run: Run, recipe: Recipe, n_missing: int, environment: dict[str, Any]) -> None:
    """See that there is room; add this machine to the run's; drop what lost members brought."""
    bytes_of_weights = 4 * network_cost(recipe.network).parameters
    room_for(run.run_dir, n_missing * (bytes_of_weights + BYTES_OF_PREDICTIONS))
    before = read_json(run.environment_path)
    write_json(run.environment_path, {**before, **joined_machines([before, environment])})
    for path in (run.cv_path, run.hardest_path):
        path.unlink(missing_ok=True)


def _train_missing(
    run: Run,
    recipe: Recipe,
    rows: Rows,
    missing: list[Member],
    placements: list[Placement],
    watcher: Watcher,
    train_with: Backend,
) -> None:
    members = all_members(recipe)
    done = [member for member in members if member not in missing]
    watcher.begin(members, done, recipe.epochs)
    started = time.time()
    try:
        with closing(train_with(recipe, rows, missing, placements, watcher.epoch)) as results:
            for trained in results:
                _keep(run, trained)
    finally:
        watcher.end()
        run.add_seconds(time.time() - started)


def _keep(run: Run, trained: Trained) -> None:
    run.write_member(
        trained.member.name,
        trained.weights,
        Predictions(trained.val_index, trained.val_logits, trained.test_logits),
        [asdict(epoch) for epoch in trained.history],
    )
