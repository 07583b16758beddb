"""A run's folder: every file name in it, what is done and what is not."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from digit_recognizer.storage.files import (
    StorageError,
    read_json,
    sha256,
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

    @property
    def report_path(self) -> Path:
        """The report as a page."""
        return self.run_dir / "report.html"

    @property
    def label_issues_path(self) -> Path:
        """The training rows whose labels are probably wrong."""
        return self.run_dir / "label_issues.csv"

    @property
    def seconds_path(self) -> Path:
        """How long training took."""
        return self.run_dir / "seconds.json"

    @property
    def augmented_path(self) -> Path:
        """What the augmentation does, as a picture."""
        return self.run_dir / "augmented.png"

    @property
    def hardest_path(self) -> Path:
        """The out-of-fold errors, as a picture."""
        return self.run_dir / "hardest.png"

    @property
    def answers_path(self) -> Path:
        """What `make predict` said last."""
        return self.run_dir / "predictions.csv"

    def member_dir(self, member: str) -> Path:
        """The folder of the member called, for instance, ``fold0-seed0``."""
        return self.run_dir / "members" / member

    def weights_path(self, member: str) -> Path:
        """A member's weights."""
        return self.member_dir(member) / "model.safetensors"

    def history_path(self, member: str) -> Path:
        """A member's epochs."""
        return self.member_dir(member) / "history.csv"

    def predictions_path(self, member: str) -> Path:
        """A member's predictions; written last: with them, the member is done."""
        return self.member_dir(member) / "predictions.npz"

    def parts(self) -> list["Run"]:
        """The runs whose members it is made of: a blend's parts, else itself alone."""
        names = self.request().get("blend_of")
        if names is None:
            return [self]
        return [Run(self.run_dir.parent / checked_name(name)) for name in names]

    def is_done(self) -> bool:
        """Whether all of the run's files are there."""
        return all(path.is_file() for path in (self.cv_path, self.oof_path, self.submission_path))

    def unfinished(self) -> RunError:
        """What to raise where a finished run is needed and this one is not."""
        return RunError(f"{self.run_dir}: is not finished: run {self._command()}")

    def _command(self) -> str:
        request = self.request()
        recipe = request.get("recipe")
        if recipe == "blend":
            return f"'make blend RUNS=\"{' '.join(request['blend_of'])}\" RUN={self.name}'"
        dataset = request.get("dataset")
        return (
            f"'make train DATA={dataset} RECIPE={recipe} RUN={self.name}' with the settings that it"
            " was begun with"
        )

    def request(self) -> dict[str, Any]:
        """The content of ``recipe.json``."""
        if not self.recipe_path.is_file():
            raise RunError(f"{self.run_dir}: is not a run: 'make train' makes one")
        return read_json(self.recipe_path)

    def seconds(self) -> float:
        """Wall-clock seconds that training took, over all its sittings."""
        if not self.seconds_path.is_file():
            return 0.0
        return float(read_json(self.seconds_path)["seconds"])

    def add_seconds(self, seconds: float) -> None:
        """Count one more sitting. A killed sitting is not counted."""
        write_json(self.seconds_path, {"seconds": round(self.seconds() + seconds, 1)})

    def member_names(self) -> list[str]:
        """The members that are done, sorted."""
        paths = (self.run_dir / "members").glob("*/predictions.npz")
        return sorted(path.parent.name for path in paths)

    def missing_members(self) -> list[str]:
        """The members that the request asks for and that are not done."""
        members = expected_members(self.request())
        return [name for name in members if not self.predictions_path(name).is_file()]

    def predictions_digest(self) -> str:
        """One digest of all members' predictions: another one where any of them changed."""
        digests = [f"{name} {sha256(self.predictions_path(name))}" for name in self.member_names()]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def write_member(
        self,
        member: str,
        weights: Mapping[str, NDArray[np.generic]],
        predictions: Predictions,
        history: Iterable[Mapping[str, float]],
    ) -> None:
        """Keep a trained member, its predictions last."""
        _write_epochs(self.history_path(member), list(history))
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
            raise _damaged(path) from None

    def read_members(self) -> dict[str, Predictions]:
        """The predictions of every member of an ordinary run, seed by seed.

        Raises
        ------
        RunError
            If one is not trained, or its file is damaged.
        """
        if self.missing_members():
            raise self.unfinished()
        return {name: self.read_member(name) for name in expected_members(self.request())}

    def read_history(self, member: str) -> list[dict[str, float]]:
        """A member's epochs, as written.

        Raises
        ------
        RunError
            If the file is missing, damaged or empty.
        """
        path = self.history_path(member)
        try:
            with open(path, newline="", encoding="utf-8") as file:
                table = csv.DictReader(file)
                epochs = [{key: float(value) for key, value in row.items()} for row in table]
        except (OSError, ValueError, TypeError, csv.Error):
            epochs = []
        if not epochs:
            raise _damaged(path)
        return epochs


def _write_epochs(path: Path, epochs: list[Mapping[str, float]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(epochs[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(epochs)
    write_text(path, text.getvalue())


def _damaged(path: Path) -> RunError:
    return RunError(f"{path}: is damaged: delete its folder and run 'make train' again")


def expected_members(request: dict[str, Any]) -> list[str]:
    """Names of all members that an ordinary run's request asks for, seed by seed."""
    chosen = request.get("folds", "all")
    every = [str(fold) for fold in range(request["n_splits"])]
    folds = every if chosen == "all" else chosen.split(",")
    return [f"fold{fold}-seed{seed}" for seed in range(request["n_seeds"]) for fold in folds]


def checked_name(name: str) -> str:
    """`name` if it can be a folder inside `submissions/`; RunError otherwise."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise RunError(f"RUN is {name!r}: give a plain name, without slashes or a leading dot")
    return name
