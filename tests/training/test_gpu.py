"""Training on a simulated GPU: the CPU's bytes, and no wait for the device in a step."""

import gc
import weakref
from collections.abc import Callable, Generator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from support.runner import outcome
from support.simulated_gpu import Gpu, SimulatedGpus, device_of
from support.small import UNDISTORTED, images, noise_rows, write_small

from digit_recognizer.data.dataset import Dataset, load_dataset, replacing
from digit_recognizer.data.files import read_json
from digit_recognizer.errors import TrainingError
from digit_recognizer.pipeline import Pipeline
from digit_recognizer.runs.ensemble import blend
from digit_recognizer.runs.environment import current_environment
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training import optim, trainer
from digit_recognizer.training.device import Device, find_devices
from digit_recognizer.training.members import Checkpoint, Member, TrainedMember
from digit_recognizer.training.models import ByteDropout, load_network
from digit_recognizer.training.predict import predict_logits
from digit_recognizer.training.recipe import Recipe, named_recipe
from digit_recognizer.training.trainer import fit_member

lr_dtype = optim.lr_dtype  # a fixture replaces it


@pytest.fixture(autouse=True)
def _rates_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are float64 on a CPU, but fused Adam on a GPU takes float32 only."""
    monkeypatch.setattr(optim, "lr_dtype", lambda device: torch.float32)


NETWORKS = ("pooled", "narrow", "plain", "residual")
SETTINGS = {"n_splits": 2, "epochs": 1, "batch_size": 5, "tta": 1, **UNDISTORTED}


def train(network: str, device: Device, batch_size: int = 5) -> TrainedMember:
    """Train two steps on ten rows, or as many as the batch size gives.

    Batches of eight would differ: `Conv3x3` lays eight images side by side on a CPU only.
    """
    settings = {**SETTINGS, "network": network, "batch_size": batch_size}
    return fit_member(Recipe(**settings), noise_rows(20), Member(0, 0), device)


def content(trained: TrainedMember) -> dict[str, bytes]:
    found = trained.predictions
    arrays = {**trained.weights, "val": found.val_logits, "test": found.test_logits}
    return {name: value.tobytes() for name, value in arrays.items()}


@pytest.mark.parametrize(
    ("network", "precision"),
    [
        *((network, precision) for network in NETWORKS for precision in ("bf16", "fp32")),
        ("lenet5", "fp16"),  # a CPU takes 5 s for larger networks in fp16
    ],
)
def test_a_gpu_trains_to_the_bytes_of_the_cpu(network: str, precision: str) -> None:
    on_cpu = train(network, Device("cpu", precision))
    for name in ("cuda:0", "cuda:1"):
        with SimulatedGpus() as gpus:
            assert content(train(network, Device(name, precision))) == content(on_cpu)
        assert sum(gpus.kernels.values()) > 400


def test_steps_on_a_gpu_become_a_graph_of_it_that_updates_all_kernels_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured, searches = [], []

    def capture(step: Callable[[], None], device: str) -> Callable[[], None]:
        captured.append((device, torch.backends.cudnn.benchmark))
        return step

    def predict(*arguments: Any) -> Any:
        searches.append(torch.backends.cudnn.benchmark)
        return predict_logits(*arguments)

    monkeypatch.setattr(trainer, "cuda_capture", capture)
    on_cpu = train("plain", Device("cpu", "fp32"), batch_size=2)
    monkeypatch.setattr(trainer, "predict_logits", predict)
    with SimulatedGpus() as gpus:
        on_gpu = train("plain", Device("cuda:1", "fp32"), batch_size=2)
    assert content(on_gpu) == content(on_cpu)
    assert captured == [("cuda:1", True)]
    assert gpus.current == "cuda:1"
    n_steps, n_products = 5, 5
    assert gpus.kernels["aten.baddbmm.default"] == n_steps * n_products
    assert searches == [False, False]  # in predictions, whose batches have many sizes


def test_a_network_of_ones_own_is_not_captured_as_it_may_draw_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "cuda_capture", None)
    source = "from digit_recognizer.training.models import plain"
    recipe = Recipe(**{**SETTINGS, "network": "mine.py:plain", "network_source": source})
    with SimulatedGpus():
        trained = fit_member(recipe, noise_rows(40), Member(0, 0), Device("cuda:0", "fp32"))
    assert content(trained) == content(
        fit_member(recipe, noise_rows(40), Member(0, 0), Device("cpu", "fp32"))
    )


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_members_memory_is_free_once_it_is_trained(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the garbage collector, which may come late, and in a later member's CUDA graph."""
    monkeypatch.setattr(trainer, "cuda_capture", lambda step, device: step)
    gc.disable()
    try:
        with SimulatedGpus():
            recipe = Recipe(**{**SETTINGS, "network": "plain"})
            of_member = trainer._Trainer(
                recipe, noise_rows(40), Member(0, 0), Device(device, "fp32")
            )
            of_member.run_epoch(1)
            network = weakref.ref(of_member.predictor)
            del of_member
            assert network() is None
    finally:
        gc.enable()


def test_adam_on_a_gpu_takes_rates_of_32_bits_and_can_be_captured() -> None:
    assert lr_dtype("cpu") == torch.float64
    assert lr_dtype("cuda:1") == lr_dtype("mps") == torch.float32
    with SimulatedGpus():
        weight = torch.nn.Parameter(torch.ones(1, device="cuda:0"))
        (adam,) = optim.build_optimizers(Recipe(), [weight], torch.tensor(0.1, device="cuda:0"))
    assert adam.defaults["capturable"]


def test_the_averaged_networks_statistics_wait_for_nothing() -> None:
    with SimulatedGpus() as gpus:
        norm = torch.nn.BatchNorm1d(2).to("cuda:0")
        optim.update_bn(norm, [torch.full((4, 2), value, device="cuda:0") for value in (1.0, 4.0)])
        assert gpus.waits == 0
        assert norm.running_mean.cpu().tolist() == [2.5, 2.5]  # type: ignore[union-attr]


def waits(network: str, precision: str, batch_size: int) -> int:
    with SimulatedGpus() as gpus:
        train(network, Device("cuda:0", precision), batch_size)
    return gpus.waits


@pytest.mark.parametrize(
    ("network", "precision"),
    [*((network, "bf16") for network in NETWORKS), ("plain", "fp32"), ("lenet5", "fp16")],
)
def test_twice_the_steps_take_no_more_waits_for_the_device(network: str, precision: str) -> None:
    assert waits(network, precision, batch_size=10) == waits(network, precision, batch_size=5)


def in_this_process(
    recipe: Recipe, data: Dataset, starts: Sequence[Checkpoint], devices: Sequence[Device], *_: Any
) -> Generator[TrainedMember, None, None]:
    """Train as workers do; a simulated GPU is not there in other processes."""
    for start, device in zip(starts, cycle(devices), strict=False):
        yield fit_member(recipe, data, start, device)


def test_a_whole_run_and_its_blend_on_two_gpus_have_the_bytes_of_the_cpu(tmp_path: Path) -> None:
    with replacing(tmp_path / "small", "sample", may_submit=False) as aside:
        write_small(aside)
    data = load_dataset(tmp_path / "small")

    def train_all(place: Path, devices: Sequence[Device]) -> Path:
        pipeline = Pipeline(data, devices, in_this_process, mock.MagicMock())
        parts = ["default", "plain"]
        for name in parts:
            request = Request("small", name, named_recipe(name, SETTINGS))
            pipeline.train(Run(place / name), request)
        return blend(tmp_path, place, parts, "both").run.run_dir

    on_cpu = train_all(tmp_path / "cpu", [Device("cpu", "bf16")])
    with SimulatedGpus(Gpu("Simulated L4", total_memory=24 * 2**30), Gpu()):
        on_gpus = train_all(tmp_path / "gpus", find_devices("auto"))
    runs = sorted(path.name for path in on_cpu.parent.iterdir() if path.is_dir())
    assert len(runs) == 3
    for name in runs:
        assert outcome(on_gpus.parent / name) == outcome(on_cpu.parent / name)
        environment = read_json(on_gpus.parent / name / "environment.json")
        assert environment["device"] == "cuda:0 + cuda:1"
        assert environment["hardware"] == "Simulated L4, 24 GiB + Simulated A100, 40 GiB"
        assert environment["augmentation"] == "device"
        assert not environment["deterministic"]
    mixed = current_environment([Device("cuda:0", "fp16"), Device("cuda:1", "bf16")], data)
    assert mixed.precision == "fp16 + bf16"


@pytest.mark.parametrize("network", NETWORKS)
def test_a_gpu_predicts_the_bytes_of_the_cpu(network: str) -> None:
    weights = train(network, Device("cpu", "bf16")).weights

    def logits(device: Device) -> bytes:
        found = load_network(Recipe(network=network), weights, device)
        return predict_logits(found, images(9), Recipe(tta=5), device).tobytes()

    on_cpu = logits(Device("cpu", "bf16"))
    with SimulatedGpus():
        assert logits(Device("cuda:1", "bf16")) == on_cpu


def test_a_network_for_which_a_gpu_has_no_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = train("lenet5", Device("cpu", "fp32")).weights
    monkeypatch.setattr(Device, "to_device", mock.Mock(side_effect=torch.OutOfMemoryError))
    with pytest.raises(TrainingError, match="cuda:0 has too little free memory: close other"):
        load_network(Recipe(network="lenet5"), weights, Device("cuda:0", "fp32"))


def test_dropout_draws_on_an_apple_gpu_too() -> None:
    """It refuses the range of 64 bits, in which other devices draw eight bytes at a time."""
    with SimulatedGpus(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = ByteDropout(0.25)(torch.ones(100, 8, 5, 5, device="mps"))
        values, counts = dropped.cpu().unique(return_counts=True)
        trained = train("plain", Device("mps", "fp32"))
    assert values.tolist() == pytest.approx([0, 4 / 3])
    assert counts[0] / counts.sum() == pytest.approx(0.25, abs=0.02)
    assert np.isfinite(trained.predictions.test_logits).all()


FAULTS: dict[str, Callable[[torch.Tensor], object]] = {
    "a mask made without device=": lambda x: x * torch.ones(x.shape),
    "weights that were not moved": lambda x: torch.nn.Linear(6, 2)(x),
    "a list with one tensor elsewhere": lambda x: torch._foreach_add([x, x], [x, torch.ones(4, 6)]),
    "a tensor of another GPU": lambda x: x + x.to("cuda:1"),
    "numpy() without cpu()": lambda x: x.numpy(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_simulated_gpu_refuses_what_cuda_refuses(fault: Callable[..., object]) -> None:
    with SimulatedGpus(), pytest.raises((RuntimeError, TypeError), match=r"same device|to numpy"):
        fault(torch.ones(4, 6, device="cuda"))


def test_the_simulated_gpu_counts_what_waits_for_the_device() -> None:
    with SimulatedGpus() as gpus:
        x = torch.ones(3).to("cuda:1")
        y = (x * 2).sum()
        assert device_of(y) == y.device == torch.device("cuda:1")
        assert gpus.waits == 0
        assert (y.item(), float(y), bool(y > 1), y.cpu().numpy()) == (6, 6, True, 6)
        assert gpus.waits == 4
    assert torch.ones(2).numpy().sum() == 2
    assert not torch.cuda.is_available()
