"""Finished runs that took no training: real files, with predictions that are drawn."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.environment import describe
from digit_recognizer.learning.device import find_placements
from digit_recognizer.learning.fit import Epoch, new_network
from digit_recognizer.learning.folds import all_members, fold_of_rows
from digit_recognizer.learning.recipe import Recipe, named_recipe
from digit_recognizer.stages.ensemble import finish
from digit_recognizer.stages.train import Request
from digit_recognizer.storage.datasets import load
from digit_recognizer.storage.opening import open_run
from digit_recognizer.storage.runs import Predictions, Run

SMALL_NETWORK = "mlp"


def write_run(
    place: Path,
    name: str | None = None,
    recipe: str = "default",
    skill: float = 4.0,
    draw: int = 0,
    **settings: Any,
) -> Run:
    """A finished run of the dataset ``small``, whose members are right the more, the more `skill`."""
    chosen = named_recipe(recipe, {"network": SMALL_NETWORK, "n_splits": 2, **settings})
    request = Request("small", recipe, chosen)
    data, provenance = load(place / "data" / "small")
    assert data.solution is not None
    run = Run(place / "submissions" / (name or request.run_name))
    environment = describe(find_placements("cpu")[0][0], provenance)
    open_run(run, request.as_dict(), environment).release()
    folds = fold_of_rows(data.labels, chosen.n_splits, chosen.split_seed)
    for member in all_members(chosen):
        rng = np.random.default_rng([draw, member.fold, member.seed])
        held_out = np.flatnonzero(folds == member.fold)
        network = new_network(chosen.network, rng).state_dict()
        run.write_member(
            member.name,
            {key: value.numpy() for key, value in network.items()},
            Predictions(
                held_out,
                guesses(data.labels[held_out], skill, rng),
                guesses(data.solution, skill, rng),
            ),
            history(chosen, rng),
        )
    run.add_seconds(10.0)
    finish(run, place / "data")
    return run


def guesses(
    labels: NDArray[np.int64], skill: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Logits [N, 10]: noise, and `skill` more for the label."""
    logits = rng.normal(size=(len(labels), 10)) + skill * np.eye(10)[labels]
    return logits.astype(np.float32)


def history(recipe: Recipe, rng: np.random.Generator) -> list[dict[str, float]]:
    """Epochs of a training that never was."""
    epochs = [
        Epoch(number, 1e-3, 0.5, rng.uniform(0.9, 1), 0.5, 0.9, rng.uniform(1, 2), 0.1)
        for number in range(1, recipe.epochs + 1)
    ]
    return [asdict(epoch) for epoch in epochs]
