"""What a member learns, and that nothing but its recipe decides it."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning import fit
from digit_recognizer.learning.average import Average
from digit_recognizer.learning.device import (
    DeviceError,
    Placement,
    _first_operation,
    find_placements,
)
from digit_recognizer.learning.fit import (
    DivergedError,
    Rows,
    Trained,
    _Trainer,
    fit_member,
    load_network,
    spread_rows,
)
from digit_recognizer.learning.folds import Member, fold_of_rows
from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.learning.parallel import count_cores, places, train_members
from digit_recognizer.learning.predict import (
    OutOfMemoryError,
    predict_logits,
    prepare,
    shifted,
)
from digit_recognizer.learning.recipe import Recipe
from digit_recognizer.storage.datasets import load, replacing
from digit_recognizer.storage.sources import make_sample

CPU = Placement("cpu", "fp32")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder: Path = tmp_path_factory.mktemp("data") / "sample"
    with replacing(folder, "sample", may_submit=False) as aside:
        make_sample(aside)
    data, _ = load(folder)
    folds = fold_of_rows(data.labels, 3, 0)
    return Rows(data.images, data.labels, folds, data.test_images)


def handful(digits: Rows, n: int) -> Rows:
    folds = np.arange(n) % 2
    return Rows(digits.images[:n], digits.labels[:n], folds, digits.test_images[:20])


def same(first: Trained, second: Trained) -> bool:
    return (
        all((first.weights[key] == second.weights[key]).all() for key in first.weights)
        and (first.val_logits == second.val_logits).all()
        and (first.test_logits == second.test_logits).all()
    )


def test_a_member_overfits_a_handful_of_digits(digits: Rows) -> None:
    rows = handful(digits, 64)
    recipe = Recipe(
        epochs=40, batch_size=8, rotation=0.0, zoom=0.0, shift=0.0, shear=0.0, elastic=0.0,
        label_smoothing=0.0, tta=1, network="residual",
    )  # fmt: skip
    trained = fit_member(recipe, rows, Member(0, 0), CPU)
    assert trained.history[-1].train_accuracy == 1.0
    assert trained.history[-1].train_loss < 0.05


def test_a_member_learns_what_it_never_saw(digits: Rows) -> None:
    trained = fit_member(Recipe(n_splits=3, epochs=4, batch_size=32), digits, Member(0, 0), CPU)
    predicted = trained.val_logits.argmax(axis=1)
    assert (predicted == digits.labels[trained.val_index]).mean() > 0.95
    assert trained.history[-1].val_accuracy == pytest.approx(
        (predicted == digits.labels[trained.val_index]).mean()
    )


def test_held_out_rows_do_not_touch_the_weights(digits: Rows) -> None:
    rows = handful(digits, 60)
    recipe = Recipe(epochs=2, batch_size=8)
    honest = fit_member(recipe, rows, Member(1, 0), CPU)
    labels, images = rows.labels.copy(), rows.images.copy()
    labels[rows.folds == 1] = (labels[rows.folds == 1] + 1) % 10
    images[rows.folds == 1] = 255 - images[rows.folds == 1]
    fooled = fit_member(recipe, replace(rows, labels=labels, images=images), Member(1, 0), CPU)
    assert all((honest.weights[key] == fooled.weights[key]).all() for key in honest.weights)


def test_members_share_gpus_in_turn_and_a_cpu_core_by_core() -> None:
    first, second = Placement("cuda:0", "bf16"), Placement("cuda:1", "bf16")
    assert places([first, second], None) == [first, second]
    assert places([first, second], 3) == [first, second, first]
    assert places([first, second], 1) == [first]
    assert places([CPU], None) == [CPU] * count_cores()
    assert places([CPU], 3) == [CPU] * 3


def test_members_come_out_the_same_for_any_number_of_workers(digits: Rows) -> None:
    rows = handful(digits, 60)
    recipe = Recipe(n_splits=2, epochs=2, batch_size=8)
    members = [Member(0, 0), Member(1, 0)]
    alone, beside = (
        {t.member: t for t in train_members(recipe, rows, members, [CPU] * n, lambda m, e: None)}
        for n in (1, 5000)
    )
    assert set(alone) == set(beside) == set(members)
    for member in members:
        assert same(alone[member], beside[member])
    assert not same(alone[members[0]], alone[members[1]])


def test_a_loss_that_is_not_finite_stops_the_member(digits: Rows) -> None:
    trainer = _Trainer(Recipe(epochs=2), handful(digits, 40), Member(0, 3), CPU)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(float("nan"))
    message = (
        r"fold0-seed3: the loss is nan in epoch 1: lower the learning rate \(--lr, now 0.003\)"
    )
    with pytest.raises(DivergedError, match=message):
        trainer.run_epoch(1)


def test_the_averaged_network_has_batchnorm_statistics_of_its_own(digits: Rows) -> None:
    """Every layer keeps the statistics that the averaged weights produce, not older ones."""
    rows = handful(digits, 60)
    # All 30 training rows in one batch, as they are: then the statistics are known exactly.
    recipe = replace(
        Recipe(network="plain", epochs=3, batch_size=30),
        rotation=0.0,
        zoom=0.0,
        shift=0.0,
        shear=0.0,
        elastic=0.0,
    )
    trainer = _Trainer(recipe, rows, Member(0, 0), CPU)
    for epoch in (1, 2, 3):
        trainer.run_epoch(epoch)
    network = copy.deepcopy(trainer.result).eval()  # as at prediction: without dropout
    norms = [m.train() for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]
    seen: dict[int, torch.Tensor] = {}
    for place, norm in enumerate(norms):
        norm.register_forward_pre_hook(lambda _, x, place=place: seen.update({place: x[0]}))
    network(prepare(torch.from_numpy(rows.images[trainer.train_index]), CPU, "mnist"))
    assert len(norms) == 6
    for place, (mean, variance) in enumerate(kept):
        assert torch.allclose(mean, seen[place].mean((0, 2, 3)), atol=1e-4)
        assert torch.allclose(variance, seen[place].var((0, 2, 3)), rtol=1e-3, atol=1e-5)


def test_no_batch_of_the_statistics_is_a_single_image(
    digits: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single image has no variance, and would count as much as all others."""
    monkeypatch.setattr(fit, "NORM_CHUNK", 29)  # of 30 training rows
    trainer = _Trainer(Recipe(network="plain", epochs=2), handful(digits, 60), Member(0, 0), CPU)
    assert math.isfinite(trainer.run_epoch(1).val_loss)


@given(st.integers(1, 300), st.integers(1, 100))
def test_rows_that_stand_for_all_are_spread_over_all(n_rows: int, asked: int) -> None:
    chosen = spread_rows(np.arange(n_rows), asked)
    assert len(chosen) == min(asked, n_rows)
    assert len(chosen) == 1 or (chosen[0], chosen[-1]) == (0, n_rows - 1)
    assert len(chosen) < 2 or np.ptp(np.diff(chosen)) <= 1 <= np.diff(chosen).min()


def test_without_averaging_the_last_weights_and_the_running_statistics_count(
    digits: Rows,
) -> None:
    recipe = Recipe(epochs=3, batch_size=10, ema_decay=0.0)
    trainer = _Trainer(recipe, handful(digits, 60), Member(0, 0), CPU)
    for epoch in (1, 2, 3):
        trainer.run_epoch(epoch)
    assert trainer.result is trainer.network
    norms = [m for m in trainer.result.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # Taken anew, they would have been taken over one chunk of images.
    assert {int(norm.num_batches_tracked) for norm in norms} == {3 * 3}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=1, batch_size=8),
        Recipe(epochs=1, batch_size=8, scaling="image", crop=25, ema_decay=0.0, network="mlp"),
    ],
)
def test_weights_on_disk_predict_as_the_member_did(digits: Rows, recipe: Recipe) -> None:
    rows = handful(digits, 40)
    trained = fit_member(recipe, rows, Member(0, 0), CPU)
    weights = {key: torch.from_numpy(np.asarray(value)) for key, value in trained.weights.items()}
    network = load_network(recipe.network, weights, CPU)
    again = predict_logits(network, rows.test_images, recipe, CPU)
    assert (again == trained.test_logits).all()


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_gives_ten_logits(name: str) -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    assert predict_logits(NETWORKS[name](), images, Recipe(), CPU).shape == (3, 10)


def test_predictions_do_not_depend_on_the_chunk(digits: Rows) -> None:
    network = NETWORKS["residual"]()
    whole = predict_logits(network, digits.test_images[:50], Recipe(), CPU)
    parts = predict_logits(network, digits.test_images[:50], Recipe(), CPU, chunk=7)
    assert np.allclose(whole, parts, atol=1e-4)
    assert predict_logits(network, digits.test_images[:0], Recipe(), CPU).shape == (0, 10)


def test_shifting_moves_by_whole_pixels() -> None:
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 10, 10] = 7
    assert shifted(image, 1, 0)[0, 11, 10] == 7
    assert shifted(image, 0, -1)[0, 10, 9] == 7
    assert (shifted(image, 0, 0) == image).all()


def test_averaging_forgets_the_random_start() -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 100.0)
    average = Average(network, 0.998)
    average.update(network)
    torch.nn.init.zeros_(network.weight)
    for _ in range(200):
        average.update(network)
    assert 0 < average.network.weight.item() < 1e-3


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", "device is 'tpu': give auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", "device is 'cuda:x'|torch finds no CUDA GPU"),
    ],
)
def test_an_unknown_device_is_refused(device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        find_placements(device)


def test_auto_finds_a_device_that_works() -> None:
    placements, warning = find_placements("auto")
    assert warning is None
    assert placements


def test_a_device_that_fails_its_first_operation_says_why() -> None:
    """torch's "meta" device takes tensors and cannot compute: like a GPU without kernels."""
    assert _first_operation("cpu") is None
    assert _first_operation("meta")


class _Cramped(torch.nn.Module):
    """A network on a device with room for so many images at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError
        return x.flatten(1)[:, 400:410]


def test_out_of_memory_halves_the_chunk_and_then_says_what_to_do() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    roomy = predict_logits(_Cramped(1000), images, Recipe(tta=1), CPU)
    assert (predict_logits(_Cramped(40), images, Recipe(tta=1), CPU) == roomy).all()
    with pytest.raises(OutOfMemoryError, match="too little free memory for 16 images"):
        predict_logits(_Cramped(3), images, Recipe(tta=1), CPU)
