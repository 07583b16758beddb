"""`download`, and the dataset that a command works on: asked for, found, or fetched."""

from argparse import Namespace
from pathlib import Path

from digit_recognizer.commands.screen import say

SAMPLE_NOTE = (
    "note: this is scikit-learn's small bundled sample, not Kaggle's digits: the result is not"
    " one to submit. 'make download' brings the competition's data."
)


def download(arguments: Namespace) -> None:
    """Fetch a dataset and verify it."""
    _fetch(arguments.data_dir, arguments.source, arguments.mnist_url)


def ready_dataset(arguments: Namespace) -> str:
    """The dataset that was asked for, or the default one, in place."""
    dataset = arguments.data or _default_dataset(arguments.data_dir)
    if dataset == "sample":
        say(SAMPLE_NOTE)
        _fetch(arguments.data_dir, "sample")
    return str(dataset)


def _default_dataset(data_dir: Path) -> str:
    """The competition's data if it is there, else downloaded if there are credentials."""
    from digit_recognizer.remote.credentials import find_credentials
    from digit_recognizer.storage.datasets import COMPETITION

    if has_competition_data(data_dir):
        return COMPETITION
    if find_credentials() is None:
        return "sample"
    _fetch(data_dir, "kaggle")
    return COMPETITION


def has_competition_data(data_dir: Path) -> bool:
    """Whether the competition's data was brought here."""
    from digit_recognizer.storage.datasets import COMPETITION

    return (data_dir / COMPETITION / "source.json").exists()


def _fetch(data_dir: Path, source: str, mnist_url: str | None = None) -> None:
    from digit_recognizer.display import transfer_progress
    from digit_recognizer.stages import download as stage
    from digit_recognizer.storage.datasets import PRACTICE

    with transfer_progress() as progress:
        folder, provenance, fetched = stage.download(data_dir, source, mnist_url, progress)
    verb = "is in place" if fetched else "is there already, intact"
    say(f"{folder}: {verb} ({len(provenance.sha256)} files verified)")
    if provenance.repeats and not provenance.may_submit and source not in PRACTICE:
        say(
            f"warning: {provenance.repeats} of its test images are training rows too:"
            " scores of runs trained on it mean nothing, and they are not submitted"
        )
