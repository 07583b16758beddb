"""Train on Kaggle's machine: the data from its input folder, the run into one zip file.

Kaggle's image has neither cyclopts nor tenacity: nothing that is imported here may need them.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digit_recognizer.commands.console import PrintHandler, TrainingDisplay, echo
from digit_recognizer.data.dataset import load, replacing
from digit_recognizer.data.files import read_json
from digit_recognizer.data.sources import copy_own_files
from digit_recognizer.errors import UserError
from digit_recognizer.extras.kernel.archive import pack_run
from digit_recognizer.pipeline import Pipeline
from digit_recognizer.runs.request import Request
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.parallel import train_members, worker_devices


def main(arguments: Sequence[str]) -> int:
    """Train what the request file asks for; return 0 if the zip is there."""
    logging.getLogger("digit_recognizer").addHandler(PrintHandler())
    logging.getLogger("digit_recognizer").setLevel(logging.INFO)
    request_path, source, folder, output = map(Path, arguments)
    echo(f"package: {Path(__file__).parents[2]}")
    try:
        _train(read_json(request_path), source, folder, output)
    except UserError as error:
        echo(f"error: {error}")
        return 1
    return 0


def _train(content: dict[str, Any], source: Path, folder: Path, output: Path) -> None:
    request = Request.from_dict(content["request"])
    data_dir = folder / "data" / request.dataset
    with replacing(data_dir, str(source), may_submit=True) as aside:
        copy_own_files(aside, source)
    echo(f"data: {source}, verified")
    pipeline = Pipeline(
        folder / "submissions",
        request.dataset,
        load(data_dir),
        worker_devices(find_devices("auto"), None),
        train_members,
        TrainingDisplay(),
    )
    results = pipeline.train(request, str(content["run"]))
    machine = results.environment
    echo(f"trained on {machine.device} ({machine.hardware}, {machine.precision})")
    pack_run(results.run, output)
    echo(f"cv_accuracy {results.cv.cv_accuracy:.5f}; the run is in {output}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
