"""From a dataset to a submission: the steps of `train` on one page.

    dataset -> folds -> members -> out-of-fold rows -> ensemble -> submission -> report

The dataset is loaded once and handed on. Each member is written as soon as it is trained, so that
a killed run continues where it stopped; ``cv.json`` is written last. The held-out rows of a member
never decide anything: the length of training is fixed, and the last averaged weights predict.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.files import write_json
from digit_recognizer.report.figures import draw_pictures
from digit_recognizer.report.page import is_drawn, write_report
from digit_recognizer.runs.ensemble import RunResults, TrainedRun, finish
from digit_recognizer.runs.environment import describe
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import new_run
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import Checkpoint, EpochMetrics, Member, assign_folds
from digit_recognizer.training.models import new_network
from digit_recognizer.training.parallel import TrainMembers, train_members, worker_devices

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Callbacks for a training's progress."""

    def training(
        self, n_members: int, n_kept: int, epochs: int, epochs_kept: int
    ) -> AbstractContextManager[None]:
        """Show a training of members of `epochs` epochs each, until the block ends.

        An earlier session left `n_kept` of the members, and of others `epochs_kept` epochs.
        """

    def step(self, member: Member, epochs_done: float) -> None:
        """Show how far a member is; the first call is its start."""

    def epoch(self, member: Member, epoch: EpochMetrics) -> None:
        """Show an epoch that a member finished."""

    def finished(self, member: Member) -> None:
        """Show that a member is trained and on disk."""


@dataclass(frozen=True)
class Pipeline:
    """Training of recipes on one dataset."""

    submissions_dir: Path
    dataset: Dataset  # as `load` returns it
    devices: Sequence[Device]  # one for each member that is trained at a time
    train_members: TrainMembers  # see `find_backend`
    progress: Progress

    def train(self, request: Request, run_name: str | None = None) -> RunResults:
        """Train the members of a run that are missing, and finish it."""
        recipe = request.recipe
        assert recipe is not None
        run = new_run(self.submissions_dir, run_name or request.run_name)
        # These fail early if a class has too few rows, or a user's own network does not work.
        assign_folds(self.dataset, recipe.n_splits, recipe.split_seed)
        new_network(recipe)
        if n_duplicates := self.dataset.n_duplicates:
            rows = f"{n_duplicates} of {len(self.dataset.images)} training rows"
            logger.info(
                f"note: {rows} have the image of another row: identical images are in one fold"
            )
        now = describe(self.devices, self.dataset)
        with run.begin(request, now) as environment:
            part = TrainedRun.read_available(run)
            part.check_rows(self.dataset)
            missing = [member for member in request.members if member not in part.predictions]
            if missing:
                checkpoints = run.read_checkpoints(missing)
                is_begun = part.predictions or checkpoints
                environment = environment.with_hardware([environment, now]) if is_begun else now
                write_json(run.environment_path, environment)
                for path in (run.cv_path, run.hardest_path):  # of members that are gone
                    path.unlink(missing_ok=True)
                self._train_missing(part, missing, checkpoints)
            return finish(run, request, environment, self.dataset, [part])

    def _train_missing(
        self, part: TrainedRun, missing: Sequence[Member], checkpoints: dict[Member, Checkpoint]
    ) -> None:
        """Train members, and keep each on disk and in `part` as soon as it is trained."""
        run, recipe, progress = part.run, part.recipe, self.progress

        def on_epoch(checkpoint: Checkpoint) -> None:
            if len(checkpoint.history) < recipe.epochs:
                run.write_checkpoint(checkpoint)
            progress.epoch(checkpoint.member, checkpoint.history[-1])

        n_kept = len(part.predictions)
        epochs_kept = sum(len(checkpoint.history) for checkpoint in checkpoints.values())
        display = progress.training(n_kept + len(missing), n_kept, recipe.epochs, epochs_kept)
        training = self.train_members(
            recipe, self.dataset, missing, self.devices, on_epoch, progress.step, checkpoints
        )
        started = time.time()
        try:
            with display, closing(training) as results:
                for trained in results:
                    run.write_member(trained)
                    part.predictions[trained.member] = trained.predictions
                    part.histories[trained.member] = trained.history
                    progress.finished(trained.member)
        finally:
            run.add_seconds(time.time() - started)


def find_backend(
    name: str, device: str, workers: int | None
) -> tuple[TrainMembers, Sequence[Device]]:
    """Return the function that trains members, and the device of each that it trains at a time."""
    if name == "ray":
        from digit_recognizer.training import ray_backend

        return ray_backend.train_members_on_ray, ray_backend.cluster_devices(device, workers)
    return train_members, worker_devices(find_devices(device), workers)


def draw(results: RunResults) -> bool:
    """Draw the pictures and the report page of a finished run; return whether the page is there.

    A page that fails is a warning: the run is finished without it.
    """
    run = results.run
    draw_pictures(results)
    try:
        if not is_drawn(run):
            write_report(results)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning(f"warning: no report ({reason}): 'make report RUN={run.name}' tries again")
        return False
    return True
