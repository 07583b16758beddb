"""Training of one member: a fixed length, averaged weights, no peeking at the held-out fold."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.learning.augment import augment, build_policy, use_one_thread
from digit_recognizer.learning.average import Average, renew_norms
from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.learning.optimizer import lr_share, new_optimizers
from digit_recognizer.learning.predict import predict_logits, prepare, views
from digit_recognizer.learning.randomness import Purpose, stream, torch_draws_from
from digit_recognizer.learning.recipe import Recipe

NORM_ROWS = 4000  # training rows over which the averaged network's BatchNorm statistics are taken
NORM_CHUNK = 1000  # of these at a time, or a few less
GLIMPSE = 2000  # held-out and norm rows after each epoch but the last, whose figures count


class DivergedError(RuntimeError):
    """A member's loss is no longer a finite number."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data came to. Losses are mean cross-entropy in nats.

    ``augment_seconds`` is the part of ``seconds`` that the augmentation took.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    augment_seconds: float


@dataclass(frozen=True)
class Rows:
    """The arrays that all members share.

    ``images`` [N, 28, 28] uint8, ``labels`` [N] int64, ``folds`` [N] int64 (the fold that
    holds a row out), ``test_images`` [M, 28, 28] uint8.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    test_images: NDArray[np.uint8]


@dataclass(frozen=True)
class Trained:
    """A trained member: the weights that predict, logits [V, 10] and [M, 10] float32, history."""

    member: Member
    weights: dict[str, NDArray[np.generic]]
    val_index: NDArray[np.int64]
    val_logits: NDArray[np.float32]
    test_logits: NDArray[np.float32]
    history: tuple[Epoch, ...]


def fit_member(
    recipe: Recipe,
    rows: Rows,
    member: Member,
    placement: Placement,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train one network on all folds but its own and predict its own fold and the test rows.

    The number of steps is fixed and the last weights are used, averaged where the recipe says
    so: the held-out rows are looked at only to report on them.

    Raises
    ------
    DivergedError
        If the loss stops being finite.
    OutOfMemoryError
        If the device is too small for the evaluation.
    """
    use_one_thread()
    trainer = _Trainer(recipe, rows, member, placement)
    history = []
    for epoch in range(1, recipe.epochs + 1):
        history.append(trainer.run_epoch(epoch))
        on_epoch(history[-1])
    network = trainer.result
    return Trained(
        member,
        {name: value.cpu().numpy() for name, value in network.state_dict().items()},
        trainer.val_index,
        trainer.val_logits,
        predict_logits(network, rows.test_images, recipe, placement),
        tuple(history),
    )


class _Trainer:
    """Network, optimizers, schedules and averaged weights of a member in training."""

    def __init__(self, recipe: Recipe, rows: Rows, member: Member, placement: Placement) -> None:
        self.recipe, self.rows, self.member, self.placement = recipe, rows, member, placement
        self.train_index = np.flatnonzero(rows.folds != member.fold)
        self.val_index = np.flatnonzero(rows.folds == member.fold)
        self.val_logits = np.empty((0, 10), dtype=np.float32)
        self.policy = build_policy(recipe)
        network = new_network(recipe.network, self._stream(Purpose.WEIGHTS))
        self.network = placement.put(network)
        self._average = Average(self.network, recipe.ema_decay) if recipe.ema_decay else None
        self.optimizers = new_optimizers(recipe, self.network.parameters())
        self.batch_size = min(recipe.batch_size, len(self.train_index))
        self.steps = len(self.train_index) // self.batch_size
        share = lr_share(recipe, self.steps)
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, share) for optimizer in self.optimizers
        ]
        # fp16 alone needs its small gradients scaled up; disabled, the scaler does nothing.
        self.scaler = torch.amp.GradScaler(
            placement.device.split(":")[0], enabled=placement.precision == "fp16"
        )

    @property
    def result(self) -> nn.Module:
        """The network that predicts: with averaged weights, or the last where none are asked for."""
        return self._average.network if self._average else self.network

    def run_epoch(self, epoch: int) -> Epoch:
        """One pass over the training rows, then a look at held-out ones."""
        start = time.perf_counter()
        order = self._stream(Purpose.ORDER, epoch).permutation(self.train_index)
        rng = self._stream(Purpose.AUGMENT, epoch)
        images = augment(self.rows.images[order], self.policy, self.recipe.group_size, rng)
        augment_seconds = time.perf_counter() - start
        batches = torch.from_numpy(images[: self.steps * self.batch_size])
        targets = torch.from_numpy(self.rows.labels[order[: self.steps * self.batch_size]])
        batches, targets = batches.to(self.placement.device), targets.to(self.placement.device)

        with torch_draws_from(self._stream(Purpose.DROPOUT, epoch), self.placement.device):
            train_loss, train_accuracy = self._pass_over(batches, targets)
        if not math.isfinite(train_loss):
            raise DivergedError(
                f"{self.member.name}: the loss is {train_loss} in epoch {epoch}:"
                f" lower the learning rate (--lr, now {self.recipe.lr:g})"
            )
        val_loss, val_accuracy = self._look_at_held_out(epoch == self.recipe.epochs)
        return Epoch(
            epoch,
            float(self.schedules[0].get_last_lr()[0]),
            train_loss,
            train_accuracy,
            val_loss,
            val_accuracy,
            time.perf_counter() - start,
            augment_seconds,
        )

    def _pass_over(self, images: Tensor, targets: Tensor) -> tuple[float, float]:
        """Train on every batch once; their mean loss and accuracy."""
        self.network.train()
        loss_sum = torch.zeros((), device=self.placement.device)
        hits = torch.zeros((), device=self.placement.device)
        batches = torch.split(images, self.batch_size)
        for batch, target in zip(batches, torch.split(targets, self.batch_size), strict=True):
            loss, logits = self._step(batch, target)
            loss_sum += loss  # stays on the device: reading it here would stall a GPU
            hits += (logits.argmax(1) == target).sum()
        return loss_sum.item() / self.steps, hits.item() / len(targets)

    def _step(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with self.placement.autocast():
            logits = self.network(prepare(images, self.placement, self.recipe.scaling))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.recipe.label_smoothing)
        self.network.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        for schedule in self.schedules:
            schedule.step()
        if self._average:
            self._average.update(self.network)
        return loss.detach(), logits.detach()

    def _look_at_held_out(self, last: bool) -> tuple[float, float]:
        """Loss and accuracy of the resulting network, on all held-out rows when `last`."""
        if self._average:
            self._renew_norms(self._average.network, NORM_ROWS if last else GLIMPSE)
        index = self.val_index if last else spread_rows(self.val_index, GLIMPSE)
        recipe = self.recipe if last else replace(self.recipe, tta=1)
        logits = predict_logits(self.result, self.rows.images[index], recipe, self.placement)
        if last:
            self.val_logits = logits
        labels = torch.from_numpy(self.rows.labels[index])
        scores = torch.from_numpy(logits)
        accuracy = (scores.argmax(1) == labels).double().mean().item()
        return F.cross_entropy(scores, labels).item(), accuracy

    def _renew_norms(self, network: nn.Module, n_rows: int) -> None:
        images = torch.from_numpy(self.rows.images[spread_rows(self.train_index, n_rows)])
        # Every chunk counts the same: so they are of one size, give or take a row.
        chunks = images.to(self.placement.device).tensor_split(math.ceil(len(images) / NORM_CHUNK))
        as_predicted = replace(self.recipe, tta=1)
        with self.placement.autocast():
            renew_norms(
                network,
                [
                    prepare(view, self.placement, self.recipe.scaling)
                    for chunk in chunks
                    for view in views(chunk, as_predicted)
                ],
            )

    def _stream(self, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
        member = self.member
        return stream(self.recipe.seed, purpose, member.seed, member.fold, epoch)


def spread_rows(index: NDArray[np.int64], n_rows: int) -> NDArray[np.int64]:
    """At most `n_rows` of the rows `index` [N], evenly spread: a file may be sorted by label."""
    return index[np.linspace(0, len(index) - 1, min(n_rows, len(index))).astype(np.int64)]


def new_network(name: str, rng: np.random.Generator) -> nn.Module:
    """An untrained network whose weights depend on `rng` alone, not on torch's global state."""
    with torch_draws_from(rng):
        return NETWORKS[name]()


def load_network(
    name: str, weights: Mapping[str, NDArray[np.generic]], placement: Placement
) -> nn.Module:
    """A trained network on its device, ready to predict."""
    network = NETWORKS[name]()
    network.load_state_dict({key: torch.as_tensor(value) for key, value in weights.items()})
    return placement.put(network).eval()
