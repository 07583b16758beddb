"""A run with the pretrained networks, as if the sample had trained them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.files import write_json
from digit_recognizer.runs.inference import PRETRAINED
from digit_recognizer.runs.run import Run


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sample in ``data`` and a finished run ``submissions/drawing``."""
    root = tmp_path_factory.mktemp("drawing")
    sample = load_dataset(fetch_dataset(root / "data", "sample")[0])
    run = Run(root / "submissions" / "drawing")
    shutil.copytree(PRETRAINED.run_dir, run.run_dir)
    write_json(run.recipe_path, {**run.request().as_dict(), "dataset": "sample"})
    environment = replace(run.environment(), source="sample", data=sample.provenance.sha256)
    write_json(run.environment_path, environment)
    return root


@pytest.fixture(scope="session")
def drawing_run(drawing: Path) -> Run:
    return Run(drawing / "submissions" / "drawing")
