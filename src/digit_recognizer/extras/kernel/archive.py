"""Pack the package into one script for Kaggle; unpack the finished run that comes back."""

import base64
import io
import json
import zipfile
from itertools import product
from pathlib import Path

from digit_recognizer.data.files import is_bad_zip, write_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.runs.ensemble import TrainedRun
from digit_recognizer.runs.environment import COMMIT_NOTE, code_version
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

NOTEBOOK_TEXT = """\
# Digit Recognizer: the run `{run}`

- On Kaggle: *File > Import notebook*, *Add input > Competitions > Digit Recognizer*, whose rules
  must be accepted, and *Accelerator > GPU T4 x2*.
- On Colab: choose a GPU, and upload `train.csv`, `test.csv` and `sample_submission.csv` to a new
  folder `digit-recognizer`.

*Run all* leaves `submission.csv`, and `run.zip` to unzip into the project's `submissions/{run}`.
"""

PACKAGE = Path(__file__).parents[2]
LAUNCHER = Path(__file__).with_name("launcher.py")
# Kaggle refuses scripts of more than 1 MB, which the pretrained weights would make of it.
NOT_SENT = {"__pycache__", "pretrained"}

OUTPUT = "run.zip"
RUN_FILES = "recipe.json environment.json seconds.json oof.csv submission.csv cv.json"
MEMBER_FILES = ("history.csv", "model.safetensors", "predictions.npz")


def kernel_script(run_name: str, request: Request) -> str:
    """Return a script that trains `request` on a machine with Kaggle's data and image."""
    content = json.dumps({"run": run_name, "request": request.as_dict()})
    package = base64.encodebytes(_zip_package()).decode()
    text = LAUNCHER.read_text(encoding="utf-8")
    text = text.replace('\nREQUEST = "{}"\n', f"\nREQUEST = {content!r}\n")
    return text.replace('\nPACKED = ""\n', f'\nPACKED = """\n{package}"""\n')


def _zip_package() -> bytes:
    """Return the package's files as a zip: the same bytes for the same files."""
    note = json.dumps(dict(zip(("commit", "dirty"), code_version(), strict=True)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{PACKAGE.name}/{COMMIT_NOTE}"), note)
        for path in sorted(PACKAGE.rglob("*")):
            inside = path.relative_to(PACKAGE.parent)
            if path.is_file() and NOT_SENT.isdisjoint(inside.parts):
                # ZipInfo's own date is a constant, a file's is not
                entry = zipfile.ZipInfo(inside.as_posix())
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write_notebook(path: Path, run_name: str, script: str) -> None:
    """Write the script of `kernel_script` as a notebook for Kaggle's editor or Colab."""
    text = NOTEBOOK_TEXT.format(run=run_name)
    markdown = {"cell_type": "markdown", "metadata": {}, "id": "how", "source": text}
    code = {"cell_type": "code", "metadata": {}, "id": "train", "source": script}
    cells = [markdown, {**code, "execution_count": None, "outputs": []}]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernelspec, "accelerator": "GPU"}
    write_json(path, {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def unpack_run(archive: Path, run: Run, request: Request) -> None:
    """Unpack the run of `request` into its new folder; refuse a damaged or another one."""
    members = product(request.members, MEMBER_FILES)
    member_files = [f"members/{member.name}/{name}" for member, name in members]
    try:
        with zipfile.ZipFile(archive) as file:
            names = [*RUN_FILES.split(), *member_files]
            file.extractall(run.run_dir, names)  # other names could climb out
        run.environment()
        run.cv()
        TrainedRun.read(run)
        if run.request() == request:
            return
    except Exception as error:
        if not (isinstance(error, FileError) or is_bad_zip(error)):
            raise
    fault = f"{archive.name}: arrived incomplete, or belongs to another run: it was not used"
    raise RunError(f"{fault}: repeat the command, or give FORCE=1 to train again")
