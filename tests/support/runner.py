"""The command line as a user calls it, on a dataset small enough for tests."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from digit_recognizer.cli import main
from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.dataset import load_dataset, replacing
from digit_recognizer.data.sources import write_dataset

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
MAKE_VARIABLES = set(re.findall(r"^VARIABLES = (.*)", MAKEFILE, re.MULTILINE)[0].split())
QUICK = (
    *("--network", "residual", "--n-splits", "2"),
    *("--epochs", "3", "--batch-size", "16", "--tta", "1", "--device", "cpu"),
)


def make_small(data_dir: Path) -> None:
    """Fill `data_dir` with 240 + 60 rows of the sample, as a dataset called ``small``."""
    data = load_dataset(fetch_dataset(data_dir, "sample")[0])
    keep = np.concatenate([np.flatnonzero(data.labels == digit)[:24] for digit in range(10)])
    rows = (data.images[keep], data.labels[keep])
    test_rows = (data.test_images[:60], data.solution[:60])
    with replacing(data_dir / "small", "sample", may_submit=False) as aside:
        write_dataset(aside, rows, test_rows)
    load_dataset(data_dir / "small")


def folders(place: Path) -> list[str]:
    return ["--data-dir", str(place / "data"), "--submissions-dir", str(place / "submissions")]


def call(place: Path, stage: str, *words: str) -> int:
    """The exit code of a command in this process."""
    return main([stage, *folders(place), *words])


def command(stage: str, place: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "digit_recognizer", stage, *folders(place), *words]


def run(stage: str, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(stage, place, *words), capture_output=True, text=True)


def train(place: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run("train", place, "--data", "small", "--run", name, *QUICK, *words)


def trained(place: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The same, of a training that succeeds."""
    done = train(place, name, *words)
    assert done.returncode == 0, done.stderr
    return done


def outcome(run_dir: Path) -> dict[str, bytes]:
    """The files that must come out the same, byte for byte."""
    paths = [run_dir / "submission.csv", run_dir / "oof.csv"]
    paths += run_dir.glob("members/*/*.safetensors")
    return {path.relative_to(run_dir).as_posix(): path.read_bytes() for path in paths}
