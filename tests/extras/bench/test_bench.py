"""The figures of `make bench` fit together, and each measures what its name says."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.dataset import Dataset
from digit_recognizer.data.files import read_json
from digit_recognizer.extras.bench import bench_text
from digit_recognizer.extras.bench.measure import _add_ratios, images_per_epoch, run_bench
from digit_recognizer.extras.bench.plain_loop import AugmentedDigits, seed_worker
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
    assert images_per_epoch(recipe, Dataset(rows, np.arange(12) % 2, rows)) == images


def test_more_processes_than_members_do_not_shorten_the_minutes() -> None:
    def minutes(processes: int) -> float:
        settings: dict[str, Any] = {"processes": processes, "members": 4, "images": 24_000.0}
        settings |= {"flops_per_image": 1, "baseline_images": defaultdict(int)}
        names = ["images", "plain_images", "matrix_flops"]
        table = pd.DataFrame({f"{name}_per_second": [100.0 * processes] for name in names})
        for network in ("deotte", "baranarca-resnet", "baranarca-vgg"):
            table[f"{network}_images_per_second"] = 1.0
        _add_ratios(table, settings)
        return float(table["minutes"][0])

    assert [minutes(n) for n in (1, 2, 3, 4, 16)] == pytest.approx([4, 2, 2, 1, 1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_ratio_is_that_of_the_figures_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="digit_recognizer")
    sample, *_ = fetch_dataset(tmp_path / "data", "sample")
    report = run_bench(sample, tmp_path, 1, 2, "cpu", workers=1)
    assert report["settings"]["processes"] == 1
    assert read_json(tmp_path / "bench.json") == report
    (figures,) = report["rounds"]
    ratio = figures["images_per_second"] / figures["plain_images_per_second"]
    assert figures["speedup"] == pytest.approx(ratio)
    n_rows = report["settings"]["rows"]
    rates = [figures[f"baranarca-{kind}_images_per_second"] for kind in ("resnet", "vgg")]
    expected = {
        "deotte": 15 * 45 * round(0.9 * n_rows) / figures["deotte_images_per_second"] / 60,
        "baranarca": sum(5 * 30 * round(0.8 * n_rows) / rate / 60 for rate in rates),
    }
    for name, minutes in expected.items():
        assert figures[f"{name}_minutes"] == pytest.approx(minutes)
        assert figures[f"{name}_speedup"] == pytest.approx(minutes / figures["minutes"])
    assert 0 < figures["mfu"] < 1.5
    messages = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("round 1 of 1: ") for line in messages) == 6
    text = bench_text(report)
    median = {name: figure["median"] for name, figure in report["figures"].items()}
    assert f"{median['speedup']:.1f}x" in text
    for name in expected:
        assert f"{median[f'{name}_speedup']:.0f}x" in text
    assert f"{median['mfu']:.0%}" in text
