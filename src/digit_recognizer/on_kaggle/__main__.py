"""Train on Kaggle's machine: the data from its input folder, the run into one zip file."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.learning.fit import DivergedError, Epoch
from digit_recognizer.learning.folds import Member, TooFewRowsError
from digit_recognizer.learning.parallel import WorkerDiedError
from digit_recognizer.learning.predict import OutOfMemoryError
from digit_recognizer.learning.recipe import Recipe, RecipeError
from digit_recognizer.stages.download import download
from digit_recognizer.stages.ensemble import finish
from digit_recognizer.stages.train import Request, train
from digit_recognizer.storage.files import StorageError, read_json
from digit_recognizer.storage.parcel import pack_run

MENDABLE = (
    StorageError,
    RecipeError,
    TooFewRowsError,
    DivergedError,
    OutOfMemoryError,
    WorkerDiedError,
)


def main(words: Sequence[str]) -> int:
    """Train what the request file asks for; 0 if the zip is there."""
    request_path, source, place, output = (Path(word) for word in words)
    say(f"package: {Path(__file__).parents[1]}")
    try:
        _train(request_path, source, place, output)
    except MENDABLE as error:
        say(f"error: {error}")
        return 1
    return 0


def _train(request_path: Path, source: Path, place: Path, output: Path) -> None:
    asked = read_json(request_path)
    request = dict(asked["request"])
    dataset, recipe_name = request.pop("dataset"), request.pop("recipe")
    data_dir = place / "data"
    _, provenance, _ = download(data_dir, str(source))
    say(f"data: {source} ({len(provenance.sha256)} files verified)")
    run = train(
        data_dir,
        place / "submissions",
        Request(dataset, recipe_name, Recipe(**request)),
        asked["run"],
        "auto",
        None,
        PlainWatcher(),
        say,
    )
    report = finish(run, data_dir)
    device = read_json(run.environment_path)
    say(f"trained on {device['device']} ({device['hardware']}, {device['precision']})")
    pack_run(run, output)
    say(f"cv_accuracy {report['cv_accuracy']:.5f}; the run is in {output}")


class PlainWatcher:
    """One line an epoch."""

    def begin(self, members: Sequence[Member], done: Sequence[Member], epochs: int) -> None:
        """Training starts."""
        self._started, self._epochs = time.monotonic(), epochs
        say(f"training {len(members)} members of {epochs} epochs")

    def epoch(self, member: Member, epoch: Epoch) -> None:
        """A member finished an epoch."""
        say(
            f"{time.monotonic() - self._started:7.1f} s  {member.name}"
            f"  epoch {epoch.epoch}/{self._epochs}  train loss {epoch.train_loss:.4f}"
            f"  val accuracy {epoch.val_accuracy:.4f}"
        )

    def end(self) -> None:
        """Training is over."""


def say(line: str) -> None:
    """Write a line to the kernel's log."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
