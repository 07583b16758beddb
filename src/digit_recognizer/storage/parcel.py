"""A finished run as one zip file, on its way from one machine to another."""

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.storage.competition import DATA_FILES, read_submission
from digit_recognizer.storage.damage import ODD_SHAPE, is_bad_zip
from digit_recognizer.storage.files import StorageError, read_json, writing
from digit_recognizer.storage.runs import Predictions, Run, RunError, expected_members

RUN_FILES = ("recipe.json", "environment.json", "oof.csv", "cv.json", "submission.csv")
SECONDS = "seconds.json"
MEMBER_FILES = ("history.csv", "model.safetensors", "predictions.npz")
LARGEST = 4 * 2**30  # bytes unpacked: a hundred times the default recipe's


def pack_run(run: Run, path: Path) -> None:
    """Write a finished run's files into the zip `path`, atomically."""
    names = _names(run.request())
    if (run.run_dir / SECONDS).is_file():
        names.add(SECONDS)
    with writing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(names):
            bundle.write(run.run_dir / name, name)


def unpack_run(archive: Path, run_dir: Path, request: dict[str, Any]) -> None:
    """Unpack a run into the new folder `run_dir` and verify that it is what was asked for.

    Raises
    ------
    RunError
        If the zip is damaged, holds other files than a run's, or another run than
        `request`; `run_dir` is then gone.
    """
    try:
        _extract(archive, run_dir, _names(request))
        _verify(Run(run_dir), request)
    except BaseException as error:
        shutil.rmtree(run_dir, ignore_errors=True)
        if is_bad_zip(error) or isinstance(error, ODD_SHAPE):
            raise RunError(
                f"{archive.name}: is not a good run ({type(error).__name__}): it is not used"
            ) from None
        if isinstance(error, RunError):
            raise
        if isinstance(error, StorageError):
            text = str(error).replace(f"{run_dir}/", "")
            raise RunError(f"{archive.name}: {text}: it is not used") from None
        raise


def _names(request: dict[str, Any]) -> set[str]:
    """Every file that a finished run of this request has."""
    members = [f"members/{name}" for name in expected_members(request)]
    return {*RUN_FILES, *(f"{member}/{name}" for member in members for name in MEMBER_FILES)}


def _extract(archive: Path, run_dir: Path, names: set[str]) -> None:
    """Unpack, if the zip holds exactly these names: no other path is ever written."""
    with zipfile.ZipFile(archive) as bundle:
        entries = bundle.infolist()
        found = [entry.filename for entry in entries]
        for name in found:
            if name not in {*names, SECONDS} or found.count(name) > 1:
                raise RunError(
                    f"{archive.name}: holds {name[:80]!r}, which is no file of this run, or twice:"
                    " it is not used"
                )
        for name in sorted(names - set(found)):
            raise RunError(f"{archive.name}: lacks {name}: it is not used")
        if sum(entry.file_size for entry in entries) > LARGEST:
            raise RunError(f"{archive.name}: is larger than any run: it is not used")
        for entry in entries:
            target = run_dir / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(entry) as packed, open(target, "wb") as file:
                shutil.copyfileobj(packed, file)


def _verify(run: Run, request: dict[str, Any]) -> None:
    """Read every file; RunError, StorageError or one of ODD_SHAPE where one is not good."""
    if run.request() != request:
        raise StorageError("recipe.json is of another request")
    environment = read_json(run.environment_path)
    digests = environment["data"]
    good = set(digests) >= set(DATA_FILES) and all(
        re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values()
    )
    if not good or not isinstance(environment["may_submit"], bool):
        raise StorageError("environment.json does not say what data it was trained on")
    n_rows, n_test = _verify_members(run, request.get("folds", "all") == "all")
    read_submission(run.submission_path, n_test)
    lines = run.oof_path.read_text(encoding="utf-8").splitlines()[1:]
    if len(lines) != n_rows:
        raise StorageError(f"oof.csv has {len(lines)} rows, its members {n_rows}")
    rows = [line.split(",") for line in lines]  # row, label, fold, predicted, …
    accuracy = sum(row[1] == row[3] for row in rows) / n_rows
    if abs(read_json(run.cv_path)["cv_accuracy"] - accuracy) > 1e-9:
        raise StorageError("cv.json has another accuracy than oof.csv")


def _read_member(run: Run, name: str) -> Predictions:
    try:
        run.read_history(name)
        return run.read_member(name)
    except RunError:  # it says to delete a folder, which is only here on its way
        raise StorageError(f"the predictions or the history of {name} are damaged") from None


def _verify_members(run: Run, all_folds: bool) -> tuple[int, int]:
    """How many training and test rows the members are about; all of them about the same."""
    # Not above: the writer's machine may have the stand-in, which cannot read.
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    rows_of: dict[str, list[int]] = {}
    n_tests = set()
    for name in run.member_names():
        item = _read_member(run, name)
        shapes = item.val_logits.shape == (len(item.val_index), 10), item.test_logits.shape[1:]
        finite = np.isfinite(item.val_logits).all() and np.isfinite(item.test_logits).all()
        if shapes != (True, (10,)) or not finite:
            raise StorageError(f"the predictions of {name} are not 10 finite numbers a row")
        rows_of.setdefault(name.split("-")[1], []).extend(item.val_index.tolist())
        n_tests.add(len(item.test_logits))
        try:
            load_file(run.weights_path(name))
        except SafetensorError:
            raise StorageError(f"the weights of {name} are damaged") from None
    n_rows = {len(rows) for rows in rows_of.values()}
    whole = all(
        sorted(rows) == list(range(len(rows))) if all_folds else len(set(rows)) == len(rows)
        for rows in rows_of.values()
    )
    if len(n_rows) != 1 or len(n_tests) != 1 or not whole:
        raise StorageError("its folds do not cover every row once")
    return n_rows.pop(), n_tests.pop()
