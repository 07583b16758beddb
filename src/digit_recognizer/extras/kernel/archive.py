"""Pack the package into one script for Kaggle; pack and unpack the finished run as one zip."""

import base64
import io
import json
import shutil
import textwrap
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.competition import read_submission
from digit_recognizer.data.files import SCHEMA_ERRORS, atomic_write, is_bad_zip, write_json
from digit_recognizer.errors import FileError, RunError
from digit_recognizer.runs.ensemble import TrainedRun
from digit_recognizer.runs.environment import COMMIT_NOTE
from digit_recognizer.runs.metrics import CvReport
from digit_recognizer.runs.predictions import mean_proba
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run

NOTEBOOK_TEXT = """\
# Digit Recognizer: the run `{run}`

- On Kaggle: *File > Import notebook*, then *Add input > Competitions > Digit Recognizer*, and
  *Accelerator > GPU T4 x2*. The rules of the competition must be accepted.
- On Colab: upload the notebook, choose a GPU, and upload `train.csv`, `test.csv` and
  `sample_submission.csv` to a new folder `digit-recognizer`.

*Run all* trains and leaves `submission.csv`, and `run.zip`. Unzipped into `submissions/{run}` of
the project, that is a finished run.
"""
UNPACK = """\
import zipfile

with zipfile.ZipFile("run.zip") as run:
    run.extract("submission.csv")
"""

PACKAGE = Path(__file__).parents[2]
LAUNCHER = Path(__file__).with_name("launcher.py")
NOT_SENT = {"__pycache__", "pretrained"}  # the shipped weights would make the script too large
MAX_SCRIPT = 1_000_000  # bytes: Kaggle refuses larger scripts
MAX_RUN = 4 * 2**30  # bytes unpacked: a hundred times the default recipe's

RUN_FILES = ("recipe.json", "environment.json", "oof.csv", "cv.json", "submission.csv")
SECONDS = "seconds.json"
MEMBER_FILES = ("history.csv", "model.safetensors", "predictions.npz")


def kernel_script(run_name: str, request: Request, commit: tuple[str | None, bool | None]) -> str:
    """Return a script that trains `request` on a machine with Kaggle's data and image.

    Parameters
    ----------
    commit : of this package, and whether it was changed since
    """
    package = base64.b64encode(zip_package(commit)).decode()
    content = json.dumps({"run": run_name, "request": request.as_dict()})
    text = _fill(LAUNCHER.read_text(encoding="utf-8"), 'REQUEST = "{}"', repr(content))
    text = _fill(text, 'PACKED = ""', f'"""\n{textwrap.fill(package, 100)}\n"""')
    if len(text.encode()) > MAX_SCRIPT:
        raise FileError(f"{PACKAGE}: is too large for a kernel ({len(text)} bytes): make it less")
    return text


def write_notebook(path: Path, run_name: str, script: str) -> None:
    """Write the script of `kernel_script` as a notebook for Kaggle's editor or Colab."""
    code: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
    text = NOTEBOOK_TEXT.format(run=run_name)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "id": "how", "source": text},
        {**code, "id": "train", "source": script},
        {**code, "id": "unpack", "source": UNPACK},
    ]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernelspec, "accelerator": "GPU"}
    write_json(path, {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _fill(text: str, constant: str, value: str) -> str:
    if text.count(f"\n{constant}\n") != 1:
        raise AssertionError(f"{LAUNCHER} has no line {constant}")
    return text.replace(f"\n{constant}\n", f"\n{constant.split()[0]} = {value}\n")


def zip_package(commit: tuple[str | None, bool | None]) -> bytes:
    """Return the package's files as a zip: the same bytes for the same files."""
    note = json.dumps(dict(zip(("commit", "dirty"), commit, strict=True)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{PACKAGE.name}/{COMMIT_NOTE}"), note)
        for path in sorted(PACKAGE.rglob("*")):
            inside = path.relative_to(PACKAGE.parent)
            left_out = NOT_SENT.intersection(inside.parts) or path.name[0] == "."
            if path.is_file() and not left_out:
                # ZipInfo's own date is a constant, a file's is not
                entry = zipfile.ZipInfo(inside.as_posix())
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def pack_run(run: Run, path: Path) -> None:
    """Write a finished run's files into the zip `path`, atomically."""
    names = _run_files(run.request())
    if (run.run_dir / SECONDS).is_file():
        names.add(SECONDS)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(names):
            archive.write(run.run_dir / name, name)


def unpack_run(archive: Path, run: Run, request: Request) -> None:
    """Unpack a run into its new folder and check that it is the one of `request`.

    RunError if the zip or a file in it is damaged, or holds something else.
    """
    try:
        problem = _extract(archive, run.run_dir, _run_files(request))
        problem = problem or _find_problem(run, request)
    except Exception as error:
        if is_bad_zip(error) or isinstance(error, SCHEMA_ERRORS):
            name = type(error).__name__
            raise RunError(f"{archive.name}: is not a good run ({name}): it is not used") from None
        raise
    if problem:
        raise RunError(f"{archive.name}: {problem}: it is not used")


def _run_files(request: Request) -> set[str]:
    """Return every file that a finished run of this request has."""
    members = product(request.members, MEMBER_FILES)
    return {*RUN_FILES, *(f"members/{member.name}/{name}" for member, name in members)}


def _extract(archive: Path, run_dir: Path, names: set[str]) -> str:
    """Unpack a zip that holds exactly these names, so that no other path is written.

    Returns what is wrong with it, "" if nothing is.
    """
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        found = [entry.filename for entry in entries]
        for name in found:
            if name not in {*names, SECONDS} or found.count(name) > 1:
                return f"holds {name[:80]!r}, which is no file of this run, or twice"
        if missing := sorted(names.difference(found)):
            return f"lacks {missing[0]}"
        if sum(entry.file_size for entry in entries) > MAX_RUN:
            return "is larger than any run"
        for entry in entries:
            target = run_dir / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(entry) as packed, open(target, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    return ""


def _find_problem(run: Run, request: Request) -> str:
    """Read every file; return what is wrong with the run, "" if nothing is."""
    try:
        if run.request() != request:
            return "recipe.json is of another request"
        run.environment()
        CvReport.read(run.cv_path)
        part = TrainedRun.read(run)
        for member in part.predictions:
            run.read_weights(member)
        logits = [item.test_logits for item in part.predictions.values()]
        labels = mean_proba(logits).argmax(axis=1)
        if not np.array_equal(labels, read_submission(run.submission_path, len(labels))):
            return "its submission is not its members' mean"
    except FileError as error:  # its advice is about a file that is gone in a moment
        name, _, _ = str(error).removeprefix(f"{run.run_dir}/").partition(":")
        return f"{name} is damaged"
    return ""
