"""A member learns, its recipe alone decides the result, and held-out rows do not."""

import copy
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from support.small import UNDISTORTED

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.errors import TrainingError
from digit_recognizer.training import members
from digit_recognizer.training import trainer as trainer_module
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Checkpoint, Member, TrainedMember, assign_folds
from digit_recognizer.training.models import load_network
from digit_recognizer.training.parallel import train_members
from digit_recognizer.training.predict import normalize, predict_logits
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import _Trainer, evenly_spaced, fit_member

CPU = Device("cpu", "fp32")
HALVES = Recipe(n_splits=2, epochs=2, batch_size=8)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(fetch_dataset(tmp_path_factory.mktemp("data"), "sample")[0])


@pytest.fixture(scope="module")
def rows(digits: Dataset) -> Dataset:
    """60 rows, all ten digits about equally often, and 20 test rows."""
    parts = Recipe(n_splits=len(digits.labels) // 60)
    chosen = np.flatnonzero(assign_folds(digits, parts) == 0)[:60]
    return Dataset(digits.images[chosen], digits.labels[chosen], digits.test_images[:20])


def same_weights(first: TrainedMember, second: TrainedMember) -> bool:
    return all((first.weights[key] == second.weights[key]).all() for key in first.weights)


def test_a_member_learns_what_it_never_saw(digits: Dataset) -> None:
    trained = fit_member(Recipe(n_splits=3, epochs=4, batch_size=32), digits, Member(0, 0), CPU)
    predicted = trained.predictions.val_logits.argmax(axis=1)
    accuracy = (predicted == digits.labels[trained.predictions.val_index]).mean()
    assert accuracy > 0.95
    assert trained.history[-1].val_accuracy == pytest.approx(accuracy)


def test_held_out_rows_do_not_touch_the_weights(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = assign_folds(rows, HALVES)
    monkeypatch.setattr(members, "assign_folds", lambda *_: folds)  # labels decide them
    honest = fit_member(HALVES, rows, Member(1, 0), CPU)
    labels, images = rows.labels.copy(), rows.images.copy()
    labels[folds == 1] = (labels[folds == 1] + 1) % 10
    images[folds == 1] = 255 - images[folds == 1]
    fooled = fit_member(HALVES, replace(rows, labels=labels, images=images), Member(1, 0), CPU)
    assert same_weights(honest, fooled)


@pytest.mark.parametrize(
    ("changes", "lrs"),
    [
        ({"schedule": "exponential", "lr_decay": 0.5}, [0.004, 0.002]),
        ({"schedule": "cosine"}, [0.004, 0.002]),
        ({"schedule": "steps"}, [0.004, 0.004]),
    ],
)
def test_the_history_has_the_learning_rate_of_an_epochs_last_step(
    rows: Dataset, changes: dict, lrs: list[float]
) -> None:
    recipe = replace(HALVES, network="mlp", lr=0.004, **changes)
    trained = fit_member(recipe, rows, Member(0, 0), CPU)
    assert [epoch.lr for epoch in trained.history] == pytest.approx(lrs)


CHANGES: dict[str, object] = {
    "seed": 1,
    "split_seed": 1,
    "n_splits": 3,
    "epochs": 3,
    "batch_size": 4,
    "optimizer": "adam",
    "beta2": 0.5,
    "lr": 0.01,
    "schedule": "constant",
    "weight_decay": 1.0,
    "ema_decay": 0.0,
    "label_smoothing": 0.5,
    "scaling": "half",
    "crop": 20,
    "rotation": 60.0,
    "zoom": 0.5,
    "shift": 5.0,
    "shear": 30.0,
    "elastic": 2.0,
    "group_size": 2,
}
# What is trained, how often, and settings of predictions or of one schedule.
OTHERS = {"network", "network_source", "folds", "n_seeds", "tta", "lr_decay"}


def test_every_setting_and_the_members_seed_decide_the_weights(rows: Dataset) -> None:
    assert {field.name for field in fields(Recipe)} == CHANGES.keys() | OTHERS

    def train(seed: int = 0, **changes: Any) -> TrainedMember:
        return fit_member(replace(HALVES, network="mlp", **changes), rows, Member(0, seed), CPU)

    first = train()
    assert not same_weights(first, train(seed=1))
    others = {name: train(**{name: value}) for name, value in CHANGES.items()}
    assert [name for name, other in others.items() if same_weights(first, other)] == []


def test_members_come_out_the_same_for_any_number_of_workers(rows: Dataset) -> None:
    members = [Member(0, 0), Member(1, 0)]
    starts = [Checkpoint(member) for member in members]
    one_worker, many = (
        {t.member: t for t in train_members(HALVES, rows, starts, [CPU] * n, lambda _: None)}
        for n in (1, 5000)
    )
    assert set(one_worker) == set(many) == set(members)
    for member in members:
        assert same_weights(one_worker[member], many[member])
        logits = [trained[member].predictions.test_logits for trained in (one_worker, many)]
        assert (logits[0] == logits[1]).all()
    assert not same_weights(one_worker[members[0]], one_worker[members[1]])


@pytest.mark.parametrize(
    "changes",
    [{}, {"network": "plain"}, {"network": "deotte", "optimizer": "adam", "ema_decay": 0.0}],
)
def test_a_member_goes_on_from_a_checkpoint_with_the_same_bytes(
    rows: Dataset, changes: dict
) -> None:
    recipe = replace(HALVES, epochs=4, **changes)
    before, after = list[Checkpoint](), list[Checkpoint]()
    whole = fit_member(recipe, rows, Member(0, 0), CPU, before.append)
    resumed = fit_member(recipe, rows, before[1], CPU, after.append)
    assert [checkpoint.history[-1].epoch for checkpoint in after] == [3, 4]
    assert same_weights(resumed, whole)
    assert (resumed.predictions.test_logits == whole.predictions.test_logits).all()
    assert resumed.history[:2] == whole.history[:2]
    assert [e.val_loss for e in resumed.history] == [e.val_loss for e in whole.history]


def test_a_checkpoint_of_another_network_is_one_line(rows: Dataset) -> None:
    checkpoints: list[Checkpoint] = []
    fit_member(replace(HALVES, network="mlp"), rows, Member(0, 0), CPU, checkpoints.append)
    with pytest.raises(TrainingError, match="fold0-seed0: its checkpoint does not fit"):
        fit_member(HALVES, rows, checkpoints[0], CPU)


@pytest.mark.parametrize("n_good_steps", [0, 2])
def test_a_loss_that_is_not_finite_stops_the_member(rows: Dataset, n_good_steps: int) -> None:
    """Also the last step's of an epoch, whose losses were all computed before."""
    trainer = _Trainer(HALVES, rows, Member(0, 3), CPU)
    assert trainer.steps_per_epoch == 3
    trainer._lr_factor = lambda step: 1.0 if step < n_good_steps else math.inf
    with pytest.raises(TrainingError) as caught:
        trainer.run_epoch(1)
    assert str(caught.value) == (
        "fold0-seed3: the loss is nan in epoch 1: lower the learning rate (--lr, now 0.003)"
    )


def test_fp16_has_the_gradients_of_fp32(rows: Dataset) -> None:
    gradients = []
    for precision in ("fp16", "fp32"):
        trainer = _Trainer(HALVES, rows, Member(0, 0), Device("cpu", precision))
        trainer._load_batches(torch.from_numpy(trainer.data.images), trainer.data.labels)
        trainer._run_step()
        parameters = trainer.network.parameters()
        gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
    fp16, fp32 = gradients
    assert (fp16 - fp32).norm() < 0.1 * fp32.norm()


def test_an_overflow_of_fp16_stops_the_member_instead_of_leaving_out_steps(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "FP16_LOSS_SCALE", 1e8)
    trainer = _Trainer(HALVES, rows, Member(0, 0), Device("cpu", "fp16"))
    with pytest.raises(TrainingError, match="or give --device cpu: fp16 numbers end at 65504"):
        trainer.run_epoch(1)


def test_a_device_without_enough_memory_is_one_line(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_epoch(trainer: _Trainer, epoch: int) -> None:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    monkeypatch.setattr(_Trainer, "run_epoch", run_epoch)
    with pytest.raises(TrainingError) as caught:
        fit_member(HALVES, rows, Member(0, 3), CPU)
    assert str(caught.value) == (
        "fold0-seed3: cpu has too little free memory: give a smaller --batch-size (now 8),"
        " --workers 1, or --device cpu"
    )


def test_the_averaged_network_has_batchnorm_statistics_of_its_own(rows: Dataset) -> None:
    """Every layer keeps the statistics that the averaged weights produce, not older ones."""
    # All 30 training rows in one batch, as they are: then the statistics are known exactly.
    recipe = replace(HALVES, network="plain", epochs=3, batch_size=30, **UNDISTORTED)
    trainer = _Trainer(recipe, rows, Member(0, 0), CPU)
    for epoch in (1, 2, 3):
        trainer.run_epoch(epoch)
    network = copy.deepcopy(trainer.predictor).eval()  # as at prediction: without dropout
    norms = [m.train() for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]
    seen: dict[int, torch.Tensor] = {}
    for index, norm in enumerate(norms):
        norm.register_forward_pre_hook(lambda _, x, index=index: seen.update({index: x[0]}))
    network(normalize(torch.from_numpy(rows.images[trainer.train_index]), CPU, "mnist"))
    assert len(norms) == 6
    for index, (mean, variance) in enumerate(kept):
        assert torch.allclose(mean, seen[index].mean((0, 2, 3)), atol=1e-4)
        assert torch.allclose(variance, seen[index].var((0, 2, 3)), rtol=1e-3, atol=1e-5)


def test_no_batch_of_the_statistics_is_a_single_image(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single image has no variance, and would count as much as all others."""
    monkeypatch.setattr(trainer_module, "BN_BATCH", 29)  # of 30 training rows
    recipe = replace(HALVES, network="plain", batch_size=128)
    trainer = _Trainer(recipe, rows, Member(0, 0), CPU)
    assert math.isfinite(trainer.run_epoch(1).val_loss)


@pytest.mark.parametrize(("n_rows", "asked"), [(1, 1), (7, 100), (100, 7), (300, 100)])
def test_a_subset_of_rows_is_evenly_spaced_from_the_first_to_the_last(
    n_rows: int, asked: int
) -> None:
    chosen = evenly_spaced(np.arange(n_rows), asked)
    assert len(chosen) == min(asked, n_rows)
    assert (chosen[0], chosen[-1]) == (0, n_rows - 1)
    assert len(chosen) == 1 or np.ptp(np.diff(chosen)) <= 1 <= np.diff(chosen).min()


def test_without_averaging_the_last_weights_and_the_running_statistics_count(rows: Dataset) -> None:
    recipe = replace(HALVES, epochs=3, batch_size=10, ema_decay=0.0)
    trainer = _Trainer(recipe, rows, Member(0, 0), CPU)
    for epoch in (1, 2, 3):
        trainer.run_epoch(epoch)
    assert trainer.predictor is trainer.network
    norms = [m for m in trainer.predictor.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # Recomputed, they would come from a single chunk of images.
    assert {int(norm.num_batches_tracked) for norm in norms} == {3 * 3}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{}, {"scaling": "image", "crop": 25, "ema_decay": 0.0, "network": "mlp"}]
)
def test_weights_on_disk_predict_as_the_member_did(rows: Dataset, changes: dict) -> None:
    recipe = replace(HALVES, epochs=1, **changes)
    trained = fit_member(recipe, rows, Member(0, 0), CPU)
    network = load_network(recipe, trained.weights, CPU)
    again = predict_logits(network, rows.test_images, recipe, CPU)
    assert (again == trained.predictions.test_logits).all()
