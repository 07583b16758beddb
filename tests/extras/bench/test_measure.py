"""Each measurement measures what its name says."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from digit_recognizer.data.competition import Dataset
from digit_recognizer.extras.bench import measure
from digit_recognizer.extras.bench.measure import GROUPS, OTHERS, group_of, kernel_seconds
from digit_recognizer.extras.bench.plain_loop import AugmentedDigits, seed_worker
from digit_recognizer.training.recipe import Recipe


def dataset_of(image: np.ndarray, n_rows: int) -> Dataset:
    images = np.repeat(image[None], n_rows, axis=0)
    return Dataset(images, np.arange(n_rows) % 2, images[:1])


@pytest.fixture
def cross() -> np.ndarray:
    image = np.zeros((28, 28), dtype=np.uint8)
    image[12:16, 4:24] = image[4:24, 12:16] = 200
    return image


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_no_two_images_of_the_plain_loop_share_a_draw_whatever_worker_loads_them(
    cross: np.ndarray,
) -> None:
    loader = DataLoader(
        AugmentedDigits(Recipe(), dataset_of(cross, 12)),
        batch_size=2,
        num_workers=2,
        worker_init_fn=seed_worker,
    )
    images = torch.cat([batch for batch, _ in loader])
    assert images.shape == (12, 1, 28, 28)
    assert 0.7 < float(images.max()) <= 200 / 255 + 1e-6
    assert len({image.numpy().tobytes() for image in images}) == 12


def test_the_plain_loop_hands_out_plain_images_where_nothing_is_augmented(
    cross: np.ndarray,
) -> None:
    still = Recipe(rotation=0, zoom=0, shift=0, shear=0, elastic=0)
    image, label = AugmentedDigits(still, dataset_of(cross, 12))[11]
    assert label == 1
    assert (image.numpy()[0] * 255 == cross).all()


@pytest.mark.parametrize(("batch_size", "images"), [(4, 4), (6, 6), (5, 5), (2, 6), (100, 6)])
def test_images_of_an_epoch_are_whole_batches_of_the_rows_of_other_folds(
    batch_size: int, images: int
) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    recipe = Recipe(n_splits=2, batch_size=batch_size)
    assert measure.images_per_epoch(recipe, Dataset(rows, np.arange(12) % 2, rows)) == images


def test_a_training_step_multiplies_three_times_what_a_forward_pass_does() -> None:
    layers = ((784, 512), (512, 256), (256, 128), (128, 64), (64, 10))
    assert measure.training_flops("mlp") == 6 * sum(a * b for a, b in layers)


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("aten::mkldnn_convolution", "convolution forward"),
        ("aten::cudnn_convolution", "convolution forward"),
        ("aten::convolution_backward", "convolution backward"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::_foreach_lerp_", "averages of weights and gradients"),
        ("aten::copy_", "copies and casts"),
        ("aten::threshold_backward", "ReLU and sums"),
        ("aten::addmm", "linear layers and Muon"),
        ("aten::argmax", OTHERS),
    ],
)
def test_operators_fall_into_the_group_that_a_reader_expects(operator: str, group: str) -> None:
    assert group_of(operator) == group
    assert group in (*GROUPS, OTHERS)


def test_a_kernel_of_a_gpu_counts_once_for_the_operator_that_launched_it() -> None:
    def event(name: str, device: str, microseconds: float, annotation: bool = False) -> Any:
        return SimpleNamespace(
            key=name,
            device_type=SimpleNamespace(name=device),
            self_device_time_total=microseconds,
            is_user_annotation=annotation,
        )

    seconds = kernel_seconds(
        [
            event("aten::mm", "CPU", 3e6),
            event("sm90_gemm", "CUDA", 3e6),
            event("aten::_fused_adamw_", "CPU", 2e6),
            event("multi_tensor_apply_kernel", "CUDA", 2e6),
            event("launched without an operator", "CUDA", 1e6),
            event("Optimizer.step#AdamW.step", "CPU", 2e6, annotation=True),
            event("Optimizer.step#AdamW.step", "CUDA", 2e6, annotation=True),
        ]
    )
    used = {group: value for group, value in seconds.items() if value}
    assert used == {"linear layers and Muon": 3.0, "optimizer": 2.0, OTHERS: 1.0}


def test_memory_is_unknown_where_the_system_does_not_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (measure.peak_memory(1) or 0) > 2**26
    monkeypatch.setitem(sys.modules, "resource", None)
    assert measure.peak_memory(1) is None


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
