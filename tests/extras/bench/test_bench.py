"""The figures of `make bench` fit together, and each measures what its name says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.dataset import replacing
from digit_recognizer.data.files import read_json
from digit_recognizer.data.sources import make_sample
from digit_recognizer.extras.bench import measure
from digit_recognizer.extras.bench.bench import run_bench
from digit_recognizer.extras.bench.command import bench_text
from digit_recognizer.extras.bench.plain_loop import AugmentedDigits, seed_worker
from digit_recognizer.training.device import describe_device
from digit_recognizer.training.recipe import Recipe


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_no_two_images_of_the_plain_loop_share_a_draw_whatever_worker_loads_them() -> None:
    cross = np.zeros((28, 28), dtype=np.uint8)
    cross[12:16, 4:24] = cross[4:24, 12:16] = 200
    images = np.repeat(cross[None], 12, axis=0)
    digits = AugmentedDigits(Recipe(), Dataset(images, np.arange(12) % 2, images[:1]))
    loader = DataLoader(digits, batch_size=2, num_workers=2, worker_init_fn=seed_worker)
    loaded = torch.cat([batch for batch, _ in loader])
    assert loaded.shape == (12, 1, 28, 28)
    assert 0.7 < float(loaded.max()) <= 200 / 255 + 1e-6
    assert len({image.numpy().tobytes() for image in loaded}) == 12


@pytest.mark.parametrize(("batch_size", "images"), [(4, 4), (6, 6), (5, 5), (2, 6), (100, 6)])
def test_images_of_an_epoch_are_whole_batches_of_the_rows_of_other_folds(
    batch_size: int, images: int
) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    recipe = Recipe(n_splits=2, batch_size=batch_size)
    assert measure.images_per_epoch(recipe, Dataset(rows, np.arange(12) % 2, rows)) == images


def test_an_epoch_consists_of_its_operators_and_augmentation() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    recipe = Recipe(n_splits=2, epochs=1, batch_size=10)
    data = Dataset(rows, np.arange(40) % 10, rows)
    fractions = measure.time_fractions(recipe, data, describe_device("cpu"))
    assert sum(fractions.values()) == pytest.approx(1)
    assert list(fractions.values()) == sorted(fractions.values(), reverse=True)
    assert fractions["aten::convolution_backward"] > 0.02
    assert 0 < fractions["augmentation"] < 0.9


MEASURES_BESIDE = """
from multiprocessing import get_context
from digit_recognizer.extras.bench.measure import run_in_subprocess

kept = []

def measure():
    kept.append(get_context("spawn").SimpleQueue())  # semaphores, as every training has them
    return 7

if __name__ == "__main__":
    print(run_in_subprocess(measure))
"""


def test_a_process_that_has_answered_leaves_nothing_behind(tmp_path: Path) -> None:
    script = tmp_path / "measures.py"
    script.write_text(MEASURES_BESIDE)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_ratio_is_that_of_the_figures_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="digit_recognizer")
    with replacing(tmp_path / "data" / "sample", "sample", may_submit=False) as aside:
        make_sample(aside)
    report = run_bench(tmp_path / "data" / "sample", tmp_path, 1, 2, "cpu")
    assert read_json(tmp_path / "bench.json") == report
    (figures,) = report["rounds"]
    ratio = figures["images_per_second"] / figures["plain_images_per_second"]
    assert figures["speedup"] == pytest.approx(ratio)
    images = 15 * 45 * round(0.9 * report["settings"]["rows"])
    minutes = images / figures["baseline_images_per_second"] / 60
    assert figures["baseline_minutes"] == pytest.approx(minutes)
    assert figures["baseline_speedup"] == pytest.approx(minutes / figures["minutes"])
    assert 0 < figures["mfu"] < 1.5
    assert figures["images_per_second_of_quarter"] > 0
    messages = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("round 1 of 1: ") for line in messages) == 6
    assert report["profile"]["aten::convolution_backward"] > 0.05
    text = bench_text(report)
    median = {name: figure["median"] for name, figure in report["figures"].items()}
    assert f"{median['speedup']:.1f}x" in text
    assert f"{median['baseline_speedup']:.0f}x" in text
    assert f"{median['mfu']:.0%}" in text
    assert "aten::convolution_backward" in text
