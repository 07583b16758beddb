"""The run whose networks `predict` and `play` use: the best one, named with its accuracy."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from digit_recognizer.data.files import write_bytes, write_json
from digit_recognizer.errors import UserError
from digit_recognizer.runs.metrics import CvReport
from digit_recognizer.runs.predictions import Proba, blend_proba
from digit_recognizer.runs.run import Run, all_runs, damaged_error, find_run
from digit_recognizer.training.members import Member
from digit_recognizer.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from digit_recognizer.training.device import Device

PRETRAINED = Run(Path(__file__).parents[1] / "pretrained")
WEAK_ACCURACY = 0.99  # CV accuracy; `quick` reaches 0.996 in a minute of two cores
# Of 21,000 out-of-fold rows of `quick`, 153 are less confident: 26 % of these are wrong, of the
# others one in 672. In 148 of the 153, the label is one of the two best digits.
SURE_CONFIDENCE = 0.7


@dataclass(frozen=True)
class InferenceRun:
    """A finished run with the title and the warning to show with its predictions."""

    run: Run
    cv: CvReport
    is_sample: bool  # trained on the sample, which is not the competition's data

    @classmethod
    def read(cls, run: Run) -> "InferenceRun":
        """Read the scores of a finished run."""
        return cls(run, run.cv(), run.request().dataset == "sample")

    @property
    def title(self) -> str:
        """The run's name and accuracy."""
        accuracy, expected = self.cv.cv_accuracy, self.cv.expected_score.middle
        title = f"{self.run.name}: CV accuracy {accuracy:.4f}, expected score {expected:.4f}"
        return f"{title} (packaged)" if self.run == PRETRAINED else title

    @property
    def warning(self) -> str:
        """The reason not to trust its predictions; empty if there is none."""
        if self.is_sample:
            return "the run was trained on the sample, which has few and small digits"
        if self.cv.cv_accuracy < WEAK_ACCURACY:
            return f"the run's CV accuracy, {self.cv.cv_accuracy:.4f}, is below {WEAK_ACCURACY}"
        return ""


def rank_runs(submissions_dir: Path) -> list[InferenceRun]:
    """Return all finished runs and the pretrained one, the best first; no damaged ones.

    After the pretrained one come weak ones and, last, those on the sample.
    """
    found = []
    for run in [*all_runs(submissions_dir), PRETRAINED]:
        with suppress(UserError, OSError):  # damaged or not finished
            weights = [part.weights_path(m) for part in run.parts() for m in part.request().members]
            run.environment()  # may be damaged
            if all(path.is_file() for path in weights):
                found.append(InferenceRun.read(run))
    return sorted(found, key=_rank, reverse=True)


def _rank(found: InferenceRun) -> tuple[bool, bool, bool, float, str]:
    is_pretrained, score = found.run == PRETRAINED, found.cv.expected_score.middle
    return not found.warning, not found.is_sample, not is_pretrained, score, found.run.name


def find_inference_run(submissions_dir: Path, name: str | None) -> InferenceRun:
    """Return the finished run called `name`, or the best one; ``pretrained`` comes with the package."""
    if name is None:
        return rank_runs(submissions_dir)[0]
    is_pretrained = name == PRETRAINED.name and not (submissions_dir / name).exists()
    return InferenceRun.read(PRETRAINED if is_pretrained else find_run(submissions_dir, name))


def load_networks(run: Run, device: "Device") -> list[list[tuple["nn.Module", Recipe]]]:
    """Return the networks of each part of a run, ready to predict on `device`, and their recipes."""
    return [[_load(p, m, device) for m in p.request().members] for p in run.parts()]


def _load(run: Run, member: Member, device: "Device") -> tuple["nn.Module", Recipe]:
    from digit_recognizer.training.models import load_network  # imports torch

    recipe, weights = run.recipe(), run.read_weights(member)
    try:
        return load_network(recipe, weights, device), recipe
    except ValueError as error:
        raise damaged_error(run.weights_path(member), str(error)) from None


def ensemble_proba(
    run: Run,
    images: NDArray[np.uint8],
    device: "Device",
    on_network: Callable[[int, int], None] = lambda done, total: None,
) -> Proba:
    """Return the mean probabilities [N, 10] of a run's members for images [N, 28, 28].

    `on_network` gets how many networks are done, of how many.
    """
    import torch

    from digit_recognizer.training.device import count_cores
    from digit_recognizer.training.predict import predict_logits

    parts, done = load_networks(run, device), count(1)
    total = sum(map(len, parts))

    def answer(loaded: tuple["nn.Module", Recipe]) -> NDArray[np.float32]:
        network, recipe = loaded
        logits = predict_logits(network, images, recipe, device)
        on_network(next(done), total)
        return logits

    # A member a core, one thread each: torch's own two threads took 2.3 times as long for 8,192
    # rows, and 6 to 7 times beside two busy processes (medians of four).
    n_workers = count_cores() if device.name == "cpu" else 1
    with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return blend_proba([list(pool.map(answer, part)) for part in parts])


def uncertainty(proba: Proba) -> str:
    """Return ``not sure: 2 or 7`` for probabilities [10] without a confident one, else nothing."""
    second, best = np.argsort(proba, kind="stable")[-2:]
    return "" if proba[best] >= SURE_CONFIDENCE else f"not sure: {best} or {second}"


def export_pretrained(run: Run, folder: Path = PRETRAINED.run_dir) -> None:
    """Write what inference needs of a finished run into `folder`, weights in half precision."""
    found, target = InferenceRun.read(run), Run(folder)
    for member in run.request().members:
        weights = run.read_weights(member).items()
        halved = {name: w.astype(np.float16) if w.dtype == np.float32 else w for name, w in weights}
        write_bytes(target.weights_path(member), save(halved))
    write_json(target.recipe_path, run.request().as_dict())
    write_json(target.environment_path, replace(run.environment(), may_submit=False))
    write_json(target.cv_path, replace(found.cv, may_submit=False))
