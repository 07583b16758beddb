"""Paths, content, state and lock of a run's folder."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from digit_recognizer.data import files
from digit_recognizer.errors import RecipeError, RunError
from digit_recognizer.runs.environment import Environment
from digit_recognizer.runs.metrics import CvReport
from digit_recognizer.runs.predictions import check_predictions
from digit_recognizer.runs.request import Request
from digit_recognizer.training.members import (
    Checkpoint,
    EpochMetrics,
    Member,
    Predictions,
    TrainedMember,
)
from digit_recognizer.training.recipe import Recipe

MEMBER_REMEDY = "delete its folder and repeat the command that trained the run"


class RunFile:
    """The path of a file in a run's folder, as an attribute of the run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "Run", owner: type["Run"]) -> Path:
        return run.run_dir / self.name


@dataclass(frozen=True)
class Run:
    """The run in the folder ``run_dir``."""

    run_dir: Path

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.run_dir.name

    recipe_path = RunFile("recipe.json")  # the request
    environment_path = RunFile("environment.json")  # commit, versions, device, hashes of the data
    oof_path = RunFile("oof.csv")  # out-of-fold predictions
    cv_path = RunFile("cv.json")  # every score; written last: with it, the run is done
    submission_path = RunFile("submission.csv")  # the ensemble's labels of the test rows
    report_path = RunFile("report.html")
    label_issues_path = RunFile("label_issues.csv")  # training rows with probably wrong labels
    model_card_path = RunFile("MODEL_CARD.md")
    augmented_path = RunFile("augmented.png")  # a picture of augmented digits
    hardest_path = RunFile("hardest.png")  # a picture of the out-of-fold errors
    predictions_csv_path = RunFile("predictions.csv")  # the last output of `predict`
    _seconds_path = RunFile("seconds.json")

    def member_dir(self, member: Member) -> Path:
        """Return the folder of a member, such as ``members/fold0-seed0``."""
        return self.run_dir / "members" / member.name

    def weights_path(self, member: Member) -> Path:
        """Return the path of a member's weights."""
        return self.member_dir(member) / "model.safetensors"

    def history_path(self, member: Member) -> Path:
        """Return the path of a member's epochs."""
        return self.member_dir(member) / "history.csv"

    def predictions_path(self, member: Member) -> Path:
        """Return the path of a member's predictions; written last: with them, it is done."""
        return self.member_dir(member) / "predictions.npz"

    def request(self) -> Request:
        """Read ``recipe.json``."""
        if not self.recipe_path.is_file():
            raise RunError(f"{self.run_dir}: is not a run: 'make train' makes one")
        remedy = "bring it back, delete the run, or use the version that made it"
        content = files.read_json(self.recipe_path, remedy)
        try:
            return Request.from_dict(content)
        except (KeyError, TypeError, RecipeError) as error:
            reason = f"is not a run's recipe ({str(error)[:200]})"
            raise RunError(f"{self.recipe_path}: {reason}: {remedy}") from None

    def environment(self) -> Environment:
        """Read ``environment.json``."""
        advice = "bring it back, or delete the run and train it again"
        return files.read_json_as(self.environment_path, Environment, advice)

    def cv(self) -> CvReport:
        """Read ``cv.json``, which a finished run has."""
        if not self.cv_path.is_file():
            raise self.unfinished_error()
        advice = "delete it, and repeat the command that made the run: it writes it again"
        return files.read_json_as(self.cv_path, CvReport, advice)

    def recipe(self) -> Recipe:
        """Read the recipe of an ordinary run, which is one that is not a blend."""
        request = self.request()
        if request.recipe is None:
            parts = " ".join(request.blend_of)
            raise RunError(f"{self.run_dir}: is a blend itself: give its parts, {parts}, instead")
        return request.recipe

    def parts(self) -> list["Run"]:
        """Return the runs that a blend averages, or the run itself."""
        names = self.request().blend_of
        parts = [Run(self.run_dir.parent / validate_name(name)) for name in names]
        for part in parts:
            part.recipe()  # refuses a blend
        return parts or [self]

    def is_finished(self) -> bool:
        """Return whether all results are there."""
        return all(path.is_file() for path in (self.cv_path, self.oof_path, self.submission_path))

    def finished_members(self) -> list[Member]:
        """Return the members of the request that are trained, seed by seed."""
        return [m for m in self.request().members if self.predictions_path(m).is_file()]

    def unfinished_error(self) -> RunError:
        """Return the error for a run that should be finished and is not."""
        request = self.request()
        if request.blend_of:
            command = f"'make blend RUNS=\"{' '.join(request.blend_of)}\" RUN={self.name}'"
        else:
            words = f"train DATA={request.dataset} RECIPE={request.recipe_name} RUN={self.name}"
            command = f"'make {words}' with the same settings"
        return RunError(f"{self.run_dir}: is not finished: run {command}")

    @contextmanager
    def begin(self, request: Request, environment: Environment) -> Iterator[Environment]:
        """Begin, or continue where request and data are the same, and hold the run's lock.

        Yields the environment in which the run began.
        """
        with self.lock():
            files.remove_leftovers(self.run_dir)
            if self.recipe_path.exists():
                began = self.environment()
                if change := self._find_change(request, began, environment):
                    advice = "give another RUN, or delete the folder"
                    raise RunError(f"{self.run_dir}: {change}: {advice}")
                environment = began
                for member in self.finished_members():  # of a kill before it was deleted
                    self._checkpoint_path(member).unlink(missing_ok=True)
            else:
                files.write_json(self.environment_path, environment)
                files.write_json(self.recipe_path, request.as_dict())
            yield environment

    def lock(self) -> AbstractContextManager[object]:
        """Hold the run's lock; the operating system releases it however this process ends."""
        advice = "another process is working on this run: wait for it, or give another RUN"
        return files.lock(self.run_dir / ".lock", f"{self.run_dir}: {advice}")

    def _find_change(self, request: Request, began: Environment, now: Environment) -> str:
        """Return what differs from when the run began, "" if nothing does."""
        before, asked = self.request().as_dict(), request.as_dict()
        for key in {**before, **asked}:
            if before.get(key) != asked.get(key):
                if key == "network_source":
                    return f"{asked['network'].partition(':')[0]} changed since this run began"
                return f"was begun with {key} {before.get(key)}, not {asked.get(key)}"
        if began.data != now.data:
            return "the data changed since this run began"
        return "a part changed since it was blended" if began.parts != now.parts else ""

    def seconds(self) -> float:
        """Return the wall-clock seconds of training, over all sessions."""
        path, advice = self._seconds_path, "delete it: only the time of training is lost"
        content = files.read_json_as(path, dict[str, float], advice) if path.exists() else {}
        return content.get("seconds", 0.0)

    def add_seconds(self, seconds: float) -> None:
        """Count one more session; one that was killed is not counted."""
        files.write_json(self._seconds_path, {"seconds": round(self.seconds() + seconds, 1)})

    def write_member(self, trained: TrainedMember) -> None:
        """Keep a trained member, its predictions last."""
        member = trained.member
        files.write_csv(self.history_path(member), map(vars, trained.history))
        # safetensors writes memory as it lies: channels-last weights would come back shuffled.
        ordered = {name: np.asarray(w, order="C") for name, w in trained.weights.items()}
        files.write_bytes(self.weights_path(member), save(ordered))
        files.write_arrays(self.predictions_path(member), vars(trained.predictions))
        self._checkpoint_path(member).unlink(missing_ok=True)

    def read_predictions(self, member: Member) -> Predictions:
        """Read a member's predictions."""
        path = self.predictions_path(member)
        with _checked(path):
            predictions = Predictions(**files.read_arrays(path))
            check_predictions(predictions)
        return predictions

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a member that is trained in part, instead of its checkpoint before."""
        arrays = {"history": np.array([astuple(epoch) for epoch in checkpoint.history])}
        files.write_arrays(self._checkpoint_path(checkpoint.member), arrays | checkpoint.state)

    def read_checkpoint(self, member: Member) -> Checkpoint:
        """Read where a member's training goes on: at its beginning where nothing is kept."""
        path = self._checkpoint_path(member)
        if not path.is_file():
            return Checkpoint(member)
        with _checked(path):
            arrays = files.read_arrays(path)
            rows = arrays.pop("history").tolist()
            history = tuple(EpochMetrics(int(epoch), *rest) for epoch, *rest in rows)
        return Checkpoint(member, history, arrays)

    def _checkpoint_path(self, member: Member) -> Path:
        return self.member_dir(member) / "checkpoint.npz"

    def read_history(self, member: Member) -> tuple[EpochMetrics, ...]:
        """Read a member's epochs."""
        path = self.history_path(member)
        epochs = files.read_csv_as(path, EpochMetrics, MEMBER_REMEDY)
        is_timed = all(e.seconds > 0 and 0 <= e.augment_seconds <= e.seconds for e in epochs)
        if not is_timed or [e.epoch for e in epochs] != [*range(1, self.recipe().epochs + 1)]:
            raise damaged_error(path, "does not hold the recipe's epochs, one by one")
        return tuple(epochs)

    def read_weights(self, member: Member) -> dict[str, NDArray[Any]]:
        """Read a member's weights, by their names in the network."""
        path = self.weights_path(member)
        with _checked(path):
            weights: dict[str, NDArray[Any]] = load_file(path)
            if not all(np.isfinite(array).all() for array in weights.values()):
                raise ValueError("a weight is not finite")
        return weights


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """Turn whatever the content of a member's file raises while it is read into one line."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = " ".join(text.split())[:100]
        raise damaged_error(path, f"is damaged ({reason})") from None


def damaged_error(path: Path, fault: str) -> RunError:
    """Return the error for a file of a member."""
    return RunError(f"{path}: {fault}: {MEMBER_REMEDY}")


def validate_name(name: str) -> str:
    """Return `name` if it can be a folder under the submissions folder."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise RunError(f"RUN is {name!r}: give a plain name, without slashes or a leading dot")
    return name


def new_run(submissions_dir: Path, name: str) -> Run:
    """Return the run called `name`, to begin or to continue."""
    run = Run(submissions_dir / validate_name(name))
    # Earlier versions took names with other characters: such runs can still be continued.
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) and not run.recipe_path.is_file():
        raise RunError(f"RUN is {name!r}: use letters, digits, '-', '_' and '.' only")
    return run


def all_runs(submissions_dir: Path) -> list[Run]:
    """Return a run for each folder under the submissions folder, by name."""
    if not submissions_dir.exists():
        return []
    # Not by glob, to which a folder that may not be read is an empty one.
    paths = sorted(path for path in submissions_dir.iterdir() if not path.name.startswith("."))
    return [Run(path) for path in paths if path.is_dir()]


def find_run(submissions_dir: Path, name: str | None) -> Run:
    """Return the run called `name`, finished or not; without a name, the one finished last."""
    if name is None:
        if finished := [run for run in all_runs(submissions_dir) if run.cv_path.exists()]:
            return max(finished, key=lambda run: (run.cv_path.stat().st_mtime_ns, run.name))
        raise RunError(f"{submissions_dir}: holds no finished run: run 'make train' first")
    run = Run(submissions_dir / validate_name(name))
    if not run.recipe_path.is_file():
        known = [run.name for run in all_runs(submissions_dir) if run.recipe_path.is_file()]
        reason = f"there is no such run; the runs here: {', '.join(known) or 'none'}"
        raise RunError(f"{run.run_dir}: {reason}")
    return run
