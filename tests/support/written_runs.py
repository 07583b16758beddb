"""Finished runs that took no training: real files, with predictions that are drawn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.runs.ensemble import ensure_finished
from digit_recognizer.runs.environment import current_environment
from digit_recognizer.runs.inference import PRETRAINED
from digit_recognizer.runs.predictions import COLUMNS, OutOfFold
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.members import (
    EpochMetrics,
    Predictions,
    TrainedMember,
    all_members,
    assign_folds,
)
from digit_recognizer.training.models import new_network
from digit_recognizer.training.recipe import named_recipe
from digit_recognizer.training.rng import torch_seed

SMALL_NETWORK = "mlp"
ENVIRONMENT = replace(
    PRETRAINED.environment(), commit="abc", source="sample", data={"train.csv": "1"}
)


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
    data = load_dataset(place / "data" / "small")
    run = Run(place / "submissions" / (name or request.run_name))
    environment = current_environment(find_devices("cpu"), data)
    with run.begin(request, environment):
        pass
    folds = assign_folds(data, chosen)
    for member in all_members(chosen):
        rng = np.random.default_rng([draw, member.fold, member.seed])
        held_out = np.flatnonzero(folds == member.fold)
        with torch_seed(rng):
            network = new_network(chosen).state_dict()
        labels = (data.labels[held_out], data.solution)
        predictions = Predictions(held_out, *(guesses(part, skill, rng) for part in labels))
        weights = {key: value.numpy() for key, value in network.items()}
        history = tuple(
            EpochMetrics(number, 1e-3, 0.5, rng.uniform(0.9, 1), 0.5, 0.9, rng.uniform(1, 2), 0.1)
            for number in range(1, chosen.epochs + 1)
        )
        run.write_member(TrainedMember(member, weights, predictions, history))
    run.add_seconds(10.0)
    ensure_finished(run, place / "data")
    return run


def guesses(
    labels: NDArray[np.int64], skill: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Logits [N, 10]: noise, and `skill` more for the label."""
    logits = rng.normal(size=(len(labels), 10)) + skill * np.eye(10)[labels]
    return logits.astype(np.float32)


def read_oof(path: Path) -> OutOfFold:
    """The content of an ``oof.csv``."""
    table = pd.read_csv(path)
    numbers = [table[name].to_numpy(np.int64) for name in COLUMNS[:4]]
    return OutOfFold(*numbers, table[COLUMNS[4:]].to_numpy(np.float64))
