"""From a dataset to a submission: the steps of `train` on one page.

    dataset -> folds -> members -> out-of-fold rows -> ensemble -> submission -> report (`draw`)

The dataset is loaded once and handed on. Each member is written as soon as it is trained, so that
a killed run continues where it stopped; ``cv.json`` is written last. The held-out rows of a member
never decide anything: the length of training is fixed, and the last averaged weights predict.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.data.files import write_json
from digit_recognizer.report.figures import draw_pictures
from digit_recognizer.report.page import is_drawn, write_report
from digit_recognizer.runs.ensemble import RunResults, TrainedRun, evaluate, write_results
from digit_recognizer.runs.environment import current_environment
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Checkpoint, assign_folds
from digit_recognizer.training.models import new_network
from digit_recognizer.training.parallel import Progress, TrainMembers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """Training of recipes on one dataset."""

    dataset: Dataset  # as `load_dataset` returns it
    devices: Sequence[Device]  # one for each member that trains concurrently
    train_members: TrainMembers  # see `find_backend`
    progress: Progress

    def train(self, run: Run, request: Request) -> RunResults:
        """Train the members of a run that are missing; write the scores and the submission."""
        recipe = request.recipe
        assert recipe is not None
        # These fail early if a class has too few rows, or a user's own network does not work.
        assign_folds(self.dataset, recipe)
        new_network(recipe)
        if n_duplicates := self.dataset.n_duplicates:
            rows = f"{n_duplicates} of {len(self.dataset.images)} training rows share their image"
            logger.info(f"note: {rows} with another row; identical images stay in one fold")
        now = current_environment(self.devices, self.dataset)
        with run.begin(request, now) as environment:
            trained_run = TrainedRun.read_available(run)
            trained_run.check_rows(self.dataset)
            done = trained_run.predictions
            missing = [member for member in request.members if member not in done]
            if missing:
                starts = [run.read_checkpoint(member) for member in missing]
                is_begun = done or any(start.history for start in starts)
                # A run that is continued on another machine lists both.
                environment = environment.with_hardware([environment, now]) if is_begun else now
                write_json(run.environment_path, environment)
                for path in (run.cv_path, run.hardest_path):  # of members that are trained anew
                    path.unlink(missing_ok=True)
                self._train_missing(trained_run, starts)
            results = evaluate(run, request, environment, self.dataset, [trained_run])
            write_results(results)
        return results

    def _train_missing(self, trained_run: TrainedRun, starts: Sequence[Checkpoint]) -> None:
        """Train members, and keep each on disk and in `trained_run` as soon as it is trained."""
        run, recipe, progress = trained_run.run, trained_run.recipe, self.progress
        train, data, devices = self.train_members, self.dataset, self.devices

        def on_epoch(checkpoint: Checkpoint) -> None:
            if len(checkpoint.history) < recipe.epochs:
                run.write_checkpoint(checkpoint)
            progress.epoch(checkpoint.member, checkpoint.history[-1])

        n_kept = len(trained_run.predictions)
        epochs_kept = {start.member: len(start.history) for start in starts}
        display = progress.training(n_kept + len(starts), n_kept, recipe.epochs, epochs_kept)
        training = train(recipe, data, starts, devices, on_epoch, progress.step)
        started = time.time()
        try:
            with display, closing(training) as trained_members:
                for trained in trained_members:
                    run.write_member(trained)
                    trained_run.predictions[trained.member] = trained.predictions
                    trained_run.histories[trained.member] = trained.history
                    progress.finished(trained.member)
        finally:
            run.add_seconds(time.time() - started)


def draw(results: RunResults) -> bool:
    """Draw the report page and the pictures of a finished run; return whether they are there.

    What fails is a warning: the run is finished without it.
    """
    run = results.run
    try:
        if not is_drawn(run):
            write_report(results)
        draw_pictures(results)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning(f"warning: no report ({reason}): 'make report RUN={run.name}' tries again")
        return False
    return True
