"""Training of one member for a fixed number of epochs: no early stopping, no model selection."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from digit_recognizer.data.competition import Dataset
from digit_recognizer.errors import DivergedError
from digit_recognizer.training.augment import augment, build_transform
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import (
    EpochMetrics,
    Member,
    Predictions,
    TrainedMember,
    assign_folds,
)
from digit_recognizer.training.models import build_network
from digit_recognizer.training.optim import EMA, build_optimizers, lr_lambda, update_bn
from digit_recognizer.training.predict import center_crop, normalize, predict_logits
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.rng import RngPurpose, make_rng, torch_seed

BN_ROWS = 4000  # training rows for the averaged network's BatchNorm statistics
BN_CHUNK = 1000  # at most so many of these at a time
STEP_REPORTS = 100  # at least so many an epoch, where it has as many steps
VAL_SUBSET = 2000  # rows for validation and BatchNorm after every epoch but the last


def fit_member(
    recipe: Recipe,
    data: Dataset,
    member: Member,
    device: Device,
    on_epoch: Callable[[EpochMetrics], None] = lambda epoch: None,
    on_step: Callable[[float], None] = lambda epochs_done: None,
) -> TrainedMember:
    """Train one network on all folds but its own; predict its own fold and the test rows.

    The number of steps is fixed and the last weights are used, averaged where the recipe says
    so. Held-out rows are only reported on: they decide nothing.
    """
    cv2.setNumThreads(0)  # no threads of OpenCV besides those of the members
    trainer = _Trainer(recipe, data, member, device, on_step)
    history = []
    for epoch in range(1, recipe.epochs + 1):
        history.append(trainer.run_epoch(epoch))
        on_epoch(history[-1])
    network = trainer.predictor
    weights = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    test_logits = predict_logits(network, data.test_images, recipe, device)
    predictions = Predictions(trainer.val_index, trainer.val_logits, test_logits)
    return TrainedMember(member, weights, predictions, tuple(history))


class _Trainer:
    """Network, optimizers, schedules and averaged weights of a member in training."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        member: Member,
        device: Device,
        on_step: Callable[[float], None],
    ) -> None:
        self.recipe, self.data, self.member, self.device = recipe, data, member, device
        self.on_step = on_step
        folds = assign_folds(data.labels, recipe.n_splits, recipe.split_seed)
        self.train_index = np.flatnonzero(folds != member.fold)
        self.val_index = np.flatnonzero(folds == member.fold)
        self.val_logits = np.empty((0, 10), dtype=np.float32)
        self.transform = build_transform(recipe)
        network = build_network(recipe.network, self._rng(RngPurpose.WEIGHTS))
        self.network = device.to_device(network)
        self._ema = EMA(self.network, recipe.ema_decay) if recipe.ema_decay else None
        self.optimizers = build_optimizers(recipe, self.network.parameters())
        self.batch_size = min(recipe.batch_size, len(self.train_index))
        self.steps_per_epoch = len(self.train_index) // self.batch_size
        lr_factor = lr_lambda(recipe, self.steps_per_epoch)
        self.schedules = [LambdaLR(optimizer, lr_factor) for optimizer in self.optimizers]
        # Only fp16 needs its small gradients scaled up; when disabled, the scaler does nothing.
        self.scaler = torch.amp.GradScaler(device.kind, enabled=device.precision == "fp16")

    @property
    def predictor(self) -> nn.Module:
        """The network that predicts: with averaged weights, or with the last ones without EMA."""
        return self._ema.network if self._ema else self.network

    def run_epoch(self, epoch: int) -> EpochMetrics:
        """Train on every training row once, then evaluate on held-out rows."""
        start = time.perf_counter()
        order = self._rng(RngPurpose.ORDER, epoch).permutation(self.train_index)
        rng = self._rng(RngPurpose.AUGMENT, epoch)
        images = augment(self.data.images[order], self.transform, self.recipe.group_size, rng)
        augment_seconds = time.perf_counter() - start
        n_rows = self.steps_per_epoch * self.batch_size  # whole batches only
        inputs = torch.from_numpy(images[:n_rows]).to(self.device.name)
        targets = torch.from_numpy(self.data.labels[order[:n_rows]]).to(self.device.name)

        with torch_seed(self._rng(RngPurpose.DROPOUT, epoch), self.device.name):
            training = self._train_epoch(inputs, targets)
        if not math.isfinite(training[0]):
            raise DivergedError(
                f"{self.member.name}: the loss is {training[0]} in epoch {epoch}:"
                f" lower the learning rate (--lr, now {self.recipe.lr:g})"
            )
        validation = self._evaluate(on_all_rows=epoch == self.recipe.epochs)
        lr = float(self.schedules[0].get_last_lr()[0])
        seconds = time.perf_counter() - start
        return EpochMetrics(epoch, lr, *training, *validation, seconds, augment_seconds)

    def _train_epoch(self, images: Tensor, targets: Tensor) -> tuple[float, float]:
        """Train on every batch once; return the mean loss and the accuracy."""
        self.network.train()
        loss_sum = torch.zeros((), device=self.device.name)
        n_correct = torch.zeros((), device=self.device.name)
        batches = torch.split(images, self.batch_size)
        for batch, target in zip(batches, torch.split(targets, self.batch_size), strict=True):
            n_steps = self.schedules[0].last_epoch  # so far, over all epochs
            if n_steps % max(1, self.steps_per_epoch // STEP_REPORTS) == 0:
                self.on_step(n_steps / self.steps_per_epoch)
            loss, logits = self._step(batch, target)
            loss_sum += loss  # stays on the device: reading it here would stall a GPU
            n_correct += (logits.argmax(1) == target).sum()
        return loss_sum.item() / self.steps_per_epoch, n_correct.item() / len(targets)

    def _step(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with self.device.autocast():
            logits = self.network(normalize(images, self.device, self.recipe.scaling))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.recipe.label_smoothing)
        self.network.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        for schedule in self.schedules:
            schedule.step()
        if self._ema:
            self._ema.update(self.network)
        return loss.detach(), logits.detach()

    def _evaluate(self, on_all_rows: bool) -> tuple[float, float]:
        """Update the average's BatchNorm, then `val_logits`; return their loss and accuracy.

        These are the logits of all held-out rows, with TTA, or else of some rows, without.
        """
        recipe, index = self.recipe, self.val_index
        if not on_all_rows:
            recipe, index = replace(recipe, tta=1), evenly_spaced(index, VAL_SUBSET)
        if self._ema:
            self._update_bn(self._ema.network, BN_ROWS if on_all_rows else VAL_SUBSET)
        images, labels = self.data.images[index], torch.from_numpy(self.data.labels[index])
        self.val_logits = predict_logits(self.predictor, images, recipe, self.device)
        logits = torch.from_numpy(self.val_logits)
        accuracy = (logits.argmax(1) == labels).double().mean().item()
        return F.cross_entropy(logits, labels).item(), accuracy

    def _update_bn(self, network: nn.Module, n_rows: int) -> None:
        rows = evenly_spaced(self.train_index, n_rows)
        images = torch.from_numpy(self.data.images[rows]).to(self.device.name)
        # Every chunk weighs the same, so their sizes differ by a row at most.
        chunks = images.tensor_split(math.ceil(len(images) / BN_CHUNK))
        cropped = [center_crop(chunk, self.recipe.crop) for chunk in chunks]  # as at prediction
        with self.device.autocast():
            update_bn(network, [normalize(x, self.device, self.recipe.scaling) for x in cropped])

    def _rng(self, purpose: RngPurpose, epoch: int = 0) -> np.random.Generator:
        return make_rng(self.recipe.seed, purpose, self.member.seed, self.member.fold, epoch)


def evenly_spaced(index: NDArray[np.int64], n_rows: int) -> NDArray[np.int64]:
    """Return at most `n_rows` of the rows `index` [N], evenly spaced: a file may be sorted."""
    return index[np.linspace(0, len(index) - 1, min(n_rows, len(index))).astype(np.int64)]
