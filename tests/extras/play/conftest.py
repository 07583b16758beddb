"""A run with small trained networks that predict the digits of `support.strokes`."""

from pathlib import Path

import pytest

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.dataset import load
from digit_recognizer.runs.ensemble import ensure_finished
from digit_recognizer.runs.environment import describe
from digit_recognizer.runs.lock import begin_run
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.members import all_members
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

RECIPE = Recipe(
    network="residual", n_splits=2, epochs=4, batch_size=64, group_size=64, ema_decay=0.95, tta=1
)


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sample in ``data`` and a finished run ``submissions/drawing``."""
    root = tmp_path_factory.mktemp("drawing")
    data = load(fetch_dataset(root / "data", "sample")[0])
    (device,) = find_devices("cpu")
    run = Run(root / "submissions" / "drawing")
    request = Request("sample", "default", RECIPE)
    with begin_run(run, request, describe([device], data)):
        for member in all_members(RECIPE):
            run.write_member(fit_member(RECIPE, data, member, device))
    ensure_finished(run, root / "data")
    return root


@pytest.fixture(scope="session")
def drawing_run(drawing: Path) -> Run:
    return Run(drawing / "submissions" / "drawing")
