"""Train on Kaggle's machine: the data from its input folder, the run into one zip file.

Kaggle's Docker image may lack cyclopts and tenacity: nothing that is imported here may need them.
"""

import json
import logging
import os
import shutil
import sys
from pathlib import Path

from digit_recognizer.commands.console import PrintHandler, echo
from digit_recognizer.commands.training_display import TrainingDisplay
from digit_recognizer.data.dataset import load_dataset, replacing
from digit_recognizer.data.sources import copy_user_files
from digit_recognizer.errors import DeviceError, UserError
from digit_recognizer.extras.kernel.archive import OUTPUT
from digit_recognizer.pipeline import Pipeline
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.parallel import find_backend


def main(request: str, source: Path, folder: Path, output: Path) -> None:
    """Train what the JSON text `request` asks for; leave the zip and the submission in `output`."""
    logger = logging.getLogger("digit_recognizer")
    logger.addHandler(PrintHandler())
    logger.setLevel(logging.INFO)
    echo(f"package: {Path(__file__).parents[2]}")
    content = json.loads(request)
    asked = Request.from_dict(content["request"])
    data_dir = folder / "data" / asked.dataset
    with replacing(data_dir, str(source), may_submit=True) as aside:
        copy_user_files(aside, source)
    echo(f"data: {source}, verified")
    train, devices = find_backend("processes", "auto", None)
    for device in dict.fromkeys(devices):
        echo(f"trains on {device.name} ({device.hardware}) in {device.precision}")
    # In the editor you see that line at once; a session of its own would use up hours of GPU.
    if devices[0].kind == "cpu" and os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch":
        raise DeviceError(
            "Kaggle gave no GPU that works: choose the accelerator GPU T4 x2, which needs a verified"
            " phone number"
        )
    pipeline = Pipeline(load_dataset(data_dir), devices, train, TrainingDisplay())
    results = pipeline.train(Run(folder / "submissions" / content["run"]), asked)
    shutil.copy(results.run.submission_path, output)
    shutil.make_archive(str(output / Path(OUTPUT).stem), "zip", results.run.run_dir)
    echo(f"cv_accuracy {results.cv.cv_accuracy:.5f}; the run is in {output / OUTPUT}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(Path, sys.argv[2:]))
    except UserError as error:
        echo(f"error: {error}\n{error.advice}".rstrip())
        sys.exit(1)
