"""A run with real networks, small but good enough to read what the tests draw."""

from pathlib import Path

import pytest

from digit_recognizer.environment import describe
from digit_recognizer.learning.device import find_placements
from digit_recognizer.learning.fit import Rows, fit_member
from digit_recognizer.learning.folds import all_members, fold_of_rows
from digit_recognizer.learning.recipe import Recipe
from digit_recognizer.stages.download import download
from digit_recognizer.stages.ensemble import finish
from digit_recognizer.stages.train import Request
from digit_recognizer.storage.datasets import load
from digit_recognizer.storage.opening import open_run
from digit_recognizer.storage.runs import Predictions, Run

RECIPE = Recipe(
    network="residual", n_splits=2, epochs=4, batch_size=64, group_size=64, ema_decay=0.95, tta=1
)


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample in ``data`` and a finished run, ``submissions/drawing``."""
    place = tmp_path_factory.mktemp("drawing")
    folder, provenance, _ = download(place / "data", "sample")
    data, _ = load(folder)
    placement = find_placements("cpu")[0][0]
    rows = Rows(data.images, data.labels, fold_of_rows(data.labels, 2, 0), data.test_images)
    run = Run(place / "submissions" / "drawing")
    request = Request("sample", "default", RECIPE).as_dict()
    with open_run(run, request, describe(placement, provenance)):
        for member in all_members(RECIPE):
            done = fit_member(RECIPE, rows, member, placement)
            predictions = Predictions(done.val_index, done.val_logits, done.test_logits)
            run.write_member(member.name, done.weights, predictions, map(vars, done.history))
    finish(run, place / "data")
    return place


@pytest.fixture(scope="session")
def drawing_run(drawing: Path) -> Run:
    return Run(drawing / "submissions" / "drawing")
