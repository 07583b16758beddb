"""``predict``: predict the digits of images or of a CSV of pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import DeviceName, FinishedRun, Folders
from digit_recognizer.errors import FileError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from digit_recognizer.runs.predictions import Proba
    from digit_recognizer.runs.run import Run
    from digit_recognizer.training.device import Device

MOST_SHOWN = 40  # lines on the screen; the CSV holds all


def predict(
    *,
    file: Annotated[Path, Parameter(help="a PNG, a JPEG, a folder of them, or a CSV of pixels")],
    run: FinishedRun = None,
    device: DeviceName = "auto",
    folders: Folders = Folders(),
) -> None:
    """Predict the digits of images or of a CSV of pixels."""
    from digit_recognizer.runs.run import find_run
    from digit_recognizer.training.device import find_devices

    found = find_run(folders.submissions_dir, run)
    names, images = read_images(file)
    proba = ensemble_proba(found, images, find_devices(device)[0])
    echo(table(names, proba))
    write_predictions(found.predictions_csv_path, names, proba)
    echo(f"written to {found.predictions_csv_path}")


def read_images(source: Path) -> "tuple[list[str], NDArray[np.uint8]]":
    """Read names and images [N, 28, 28] uint8 of an image, a folder of them, or a CSV."""
    import numpy as np

    from digit_recognizer.data.competition import read_test
    from digit_recognizer.data.digit_image import IMAGE_SUFFIXES, read_image

    if source.suffix.lower() == ".csv" and not source.is_dir():
        images = read_test(source)
        return [f"row {number}" for number in range(1, len(images) + 1)], images
    files = [source]
    if source.is_dir():
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise FileError(f"{source}: holds no PNG or JPEG image")
    return [path.name for path in files], np.stack([read_image(path) for path in files])


def ensemble_proba(run: "Run", images: "NDArray[np.uint8]", device: "Device") -> "Proba":
    """Return the mean probabilities [N, 10] of a run's members for images [N, 28, 28]."""
    from digit_recognizer.runs.predictions import blend_proba
    from digit_recognizer.training.models import load_network
    from digit_recognizer.training.predict import predict_logits

    def logits_of(part: "Run") -> "list[NDArray[np.float32]]":
        if part.missing_members():
            raise part.unfinished_error()
        recipe, logits = part.recipe(), []
        for member in part.finished_members():
            network = load_network(recipe.network, part.read_weights(member), device)
            logits.append(predict_logits(network, images, recipe, device))
        return logits

    return blend_proba(map(logits_of, run.parts()))


def table(names: Sequence[str], proba: "Proba") -> str:
    """Return names, labels and probabilities as lines of text."""
    shown = names[:MOST_SHOWN]
    width = max(5, *map(len, shown))
    lines = [f"{'image':<{width}}  label" + "".join(f"   p({digit})" for digit in range(10))]
    for name, row in zip(shown, proba, strict=False):
        lines.append(f"{name:<{width}}  {row.argmax():>5}" + "".join(f"{p:7.3f}" for p in row))
    if len(names) > len(shown):
        lines.append(f"... and {len(names) - len(shown):,} more")
    return "\n".join(lines)


def write_predictions(path: Path, names: Sequence[str], proba: "Proba") -> None:
    """Write ``name,label,proba_0..proba_9``, atomically."""
    import pandas as pd

    from digit_recognizer.data.files import write_csv

    frame = pd.DataFrame(proba, columns=[f"proba_{digit}" for digit in range(10)])
    frame.insert(0, "name", list(names))
    frame.insert(1, "label", proba.argmax(axis=1))
    write_csv(path, frame, float_format="%.6f")
