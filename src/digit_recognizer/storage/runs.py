"""A run's folder: every file name in it, what is done and what is not."""

import csv
import io
import math
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import save

from digit_recognizer.storage.files import (
    StorageError,
    read_json,
    remove_leftovers,
    write_bytes,
    write_json,
    write_text,
    writing,
)


class RunError(StorageError):
    """A run that is missing, unfinished, busy, or asks for something else."""


@dataclass(frozen=True)
class Predictions:
    """What a member says: of held-out rows ``val_index`` [V], ``val_logits`` [V, 10];
    of the test rows, ``test_logits`` [M, 10]; float32."""

    val_index: NDArray[np.int64]
    val_logits: NDArray[np.float32]
    test_logits: NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """The run kept in ``run_dir``."""

    run_dir: Path

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.run_dir.name

    @property
    def recipe_path(self) -> Path:
        """What was asked for."""
        return self.run_dir / "recipe.json"

    @property
    def environment_path(self) -> Path:
        """On what, with which versions and data, it was computed."""
        return self.run_dir / "environment.json"

    @property
    def oof_path(self) -> Path:
        """Out-of-fold predictions."""
        return self.run_dir / "oof.csv"

    @property
    def cv_path(self) -> Path:
        """Every score; written last."""
        return self.run_dir / "cv.json"

    @property
    def submission_path(self) -> Path:
        """The ensemble's labels of the test rows."""
        return self.run_dir / "submission.csv"

    def member_dir(self, member: str) -> Path:
        """The folder of the member called, for instance, ``fold0-seed0``."""
        return self.run_dir / "members" / member

    def weights_path(self, member: str) -> Path:
        """A member's averaged weights."""
        return self.member_dir(member) / "model.safetensors"

    def history_path(self, member: str) -> Path:
        """A member's epochs."""
        return self.member_dir(member) / "history.csv"

    def predictions_path(self, member: str) -> Path:
        """A member's predictions; written last: with them, the member is done."""
        return self.member_dir(member) / "predictions.npz"

    def is_done(self) -> bool:
        """Whether all of the run's files are there."""
        return all(path.is_file() for path in (self.cv_path, self.oof_path, self.submission_path))

    def request(self) -> dict[str, Any]:
        """The content of ``recipe.json``."""
        if not self.recipe_path.is_file():
            raise RunError(f"{self.run_dir}: is not a run: 'make train' makes one")
        return read_json(self.recipe_path)

    def open(self, request: dict[str, Any], environment: dict[str, Any]) -> FileLock:
        """Begin or go on with a run; hold the lock that is returned for as long as you write.

        Raises
        ------
        RunError
            If another process is at it, another request stands under this name, or the
            data changed since it began.
        """
        lock = self.lock()
        try:
            remove_leftovers(self.run_dir)
            if self.recipe_path.exists():
                self._check_request(request)
                self._check_data(environment)
            else:
                write_json(self.environment_path, environment)
                write_json(self.recipe_path, request)
        except BaseException:
            lock.release()
            raise
        return lock

    def lock(self) -> FileLock:
        """Take the run's lock; the kernel gives it back however this process ends."""
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.run_dir / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{self.run_dir}: another process is working on this run:"
                " wait for it, or give another RUN"
            ) from None
        except OSError as error:
            raise RunError(f"{self.run_dir}: cannot be written ({error.strerror})") from None
        return lock

    def _check_request(self, request: dict[str, Any]) -> None:
        before = self.request()
        for key in sorted({*before, *request}):
            if before.get(key) != request.get(key):
                raise RunError(
                    f"{self.run_dir}: was begun with {key} {before.get(key)}, not"
                    f" {request.get(key)}: give another RUN, or delete the folder"
                )

    def _check_data(self, environment: dict[str, Any]) -> None:
        if read_json(self.environment_path).get("data") != environment["data"]:
            raise RunError(
                f"{self.run_dir}: the data changed since this run began:"
                " give another RUN, or delete the folder"
            )

    def seconds(self) -> float:
        """Wall-clock seconds that training took, over all its sittings."""
        path = self.run_dir / "seconds.json"
        return float(read_json(path)["seconds"]) if path.is_file() else 0.0

    def add_seconds(self, seconds: float) -> None:
        """Count one more sitting. A killed sitting is not counted."""
        write_json(self.run_dir / "seconds.json", {"seconds": round(self.seconds() + seconds, 1)})

    def member_names(self) -> list[str]:
        """The members that are done, sorted."""
        paths = (self.run_dir / "members").glob("*/predictions.npz")
        return sorted(path.parent.name for path in paths)

    def write_member(
        self,
        member: str,
        weights: Mapping[str, NDArray[np.generic]],
        predictions: Predictions,
        history: Iterable[Mapping[str, float]],
    ) -> None:
        """Keep a trained member, its predictions last."""
        write_table(self.history_path(member), list(history))
        # safetensors writes memory as it lies: channels-last weights would come back shuffled.
        plain = {name: np.asarray(value, order="C") for name, value in weights.items()}
        write_bytes(self.weights_path(member), save(plain))
        with writing(self.predictions_path(member)) as file:
            # Before numpy 2.1, allow_pickle=False would be taken for one more array.
            np.savez(file, **vars(predictions))

    def read_member(self, member: str) -> Predictions:
        """A member's predictions.

        Raises
        ------
        RunError
            If the file is missing or damaged.
        """
        path = self.predictions_path(member)
        try:
            # Opened here, because np.load leaves a damaged file open.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return Predictions(**{name: arrays[name] for name in arrays.files})
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile):
            raise RunError(
                f"{path}: is damaged: delete its folder and run 'make train' again"
            ) from None

    def read_history(self, member: str) -> list[dict[str, float]]:
        """A member's epochs, as written."""
        with open(self.history_path(member), newline="", encoding="utf-8") as file:
            return [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]


def write_table(path: Path, rows: list[Mapping[str, float]]) -> None:
    """Write rows that share their keys as CSV, atomically."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def write_oof(
    path: Path,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    proba: NDArray[np.float64],
) -> None:
    """Write ``row,label,fold,predicted,proba_0..proba_9``; `proba` [N, 10] to 6 decimals."""
    header = ",".join(["row,label,fold,predicted", *(f"proba_{digit}" for digit in range(10))])
    lines = [header]
    fixed = zip(rows.tolist(), labels.tolist(), folds.tolist(), proba, strict=True)
    for row, label, fold, chances in fixed:
        shown = ",".join(f"{chance:.6f}" for chance in chances)
        lines.append(f"{row},{label},{fold},{chances.argmax()},{shown}")
    write_text(path, "\n".join(lines) + "\n")


def latest_run(submissions_dir: Path) -> Run:
    """The run that was finished last.

    Raises
    ------
    RunError
        If there is none.
    """
    finished = list(submissions_dir.glob("*/cv.json"))
    if not finished:
        raise RunError(f"{submissions_dir}: holds no finished run: run 'make train' first")
    newest = max(finished, key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    return Run(newest.parent)


def finished_run(submissions_dir: Path, name: str | None) -> Run:
    """The run called `name`, or the latest; RunError if it is not there."""
    if name is None:
        return latest_run(submissions_dir)
    run = Run(submissions_dir / checked_name(name))
    if not run.recipe_path.is_file():
        raise RunError(f"{run.run_dir}: there is no such run: 'make train RUN={name}' makes it")
    return run


def checked_name(name: str) -> str:
    """`name` if it can be a folder inside `submissions/`; RunError otherwise."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise RunError(f"RUN is {name!r}: give a plain name, without slashes or a leading dot")
    return name


def room_for(path: Path, n_bytes: int) -> None:
    """Raise RunError unless the disk that holds `path` has `n_bytes` left."""
    with suppress(OSError):
        free = shutil.disk_usage(path).free
        if free < n_bytes:
            missing = math.ceil((n_bytes - free) / 2**20)
            raise RunError(f"{path}: the disk lacks {missing} MiB for this run: make room")
