"""Training of one member: a fixed schedule, averaged weights, no peeking at the held-out fold."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, update_bn

from digit_recognizer.learning.augment import augment, build_policy, use_one_thread
from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.learning.predict import predict_logits, prepare
from digit_recognizer.learning.randomness import Purpose, stream
from digit_recognizer.learning.recipe import Recipe

WARM_UP = 0.2  # share of the steps in which the learning rate rises
GLIMPSE = 2000  # held-out rows looked at after each epoch but the last, which takes all of them
NORM_ROWS = 8192  # rows over which the averaged network's BatchNorm statistics are taken


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
    """A trained member: averaged weights, logits [V, 10] and [M, 10] float32, history."""

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

    The number of steps is fixed and the last averaged weights are used: the held-out rows
    are looked at only to report on them.

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
    network = trainer.averaged
    return Trained(
        member,
        {name: value.cpu().numpy() for name, value in network.state_dict().items()},
        trainer.val_index,
        trainer.val_logits,
        predict_logits(network, rows.test_images, recipe.tta, placement),
        tuple(history),
    )


class _Trainer:
    """Network, optimizer, schedule and averaged weights of a member in training."""

    def __init__(self, recipe: Recipe, rows: Rows, member: Member, placement: Placement) -> None:
        self.recipe, self.rows, self.member, self.placement = recipe, rows, member, placement
        self.train_index = np.flatnonzero(rows.folds != member.fold)
        self.val_index = np.flatnonzero(rows.folds == member.fold)
        self.val_logits = np.empty((0, 10), dtype=np.float32)
        self.policy = build_policy(recipe)
        network = new_network(recipe.network, self._stream(Purpose.WEIGHTS))
        self.network = placement.put(network)
        self._averaging = AveragedModel(self.network, multi_avg_fn=ema(recipe.ema_decay))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self.batch_size = min(recipe.batch_size, len(self.train_index))
        self.steps = len(self.train_index) // self.batch_size
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: one_cycle(step / (self.steps * recipe.epochs))
        )
        # fp16 alone needs its small gradients scaled up; disabled, the scaler does nothing.
        self.scaler = torch.amp.GradScaler(
            placement.device.split(":")[0], enabled=placement.precision == "fp16"
        )

    @property
    def averaged(self) -> nn.Module:
        """The network with averaged weights."""
        module: nn.Module = self._averaging.module
        return module

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

        self.network.train()
        loss_sum = torch.zeros((), device=self.placement.device)
        hits = torch.zeros((), device=self.placement.device)
        pairs = zip(
            torch.split(batches, self.batch_size),
            torch.split(targets, self.batch_size),
            strict=True,
        )
        for batch, target in pairs:
            loss, logits = self._step(batch, target)
            loss_sum += loss  # stays on the device: reading it here would stall a GPU
            hits += (logits.argmax(1) == target).sum()

        train_loss = loss_sum.item() / self.steps
        if not math.isfinite(train_loss):
            raise DivergedError(
                f"{self.member.name}: the loss is {train_loss} in epoch {epoch}:"
                f" lower the learning rate (--lr, now {self.recipe.lr:g})"
            )
        val_loss, val_accuracy = self._look_at_held_out(batches, epoch == self.recipe.epochs)
        return Epoch(
            epoch,
            float(self.schedule.get_last_lr()[0]),
            train_loss,
            hits.item() / len(targets),
            val_loss,
            val_accuracy,
            time.perf_counter() - start,
            augment_seconds,
        )

    def _step(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with self.placement.autocast():
            logits = self.network(prepare(images, self.placement))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self._averaging.update_parameters(self.network)
        return loss.detach(), logits.detach()

    def _look_at_held_out(self, images: Tensor, last: bool) -> tuple[float, float]:
        """Loss and accuracy of the averaged network, on all held-out rows when `last`."""
        rows = NORM_ROWS if last else GLIMPSE
        # Averaged weights meet other activations than any network on the way did, so the
        # BatchNorm statistics are taken anew, over images augmented as in training.
        chunks = torch.split(images[:rows], min(1000, len(images)))
        with self.placement.autocast():
            update_bn([prepare(chunk, self.placement) for chunk in chunks], self._averaging)
        index = self.val_index if last else self.val_index[:GLIMPSE]
        tta = self.recipe.tta if last else 1
        logits = predict_logits(self.averaged, self.rows.images[index], tta, self.placement)
        if last:
            self.val_logits = logits
        labels = torch.from_numpy(self.rows.labels[index])
        scores = torch.from_numpy(logits)
        accuracy = (scores.argmax(1) == labels).double().mean().item()
        return F.cross_entropy(scores, labels).item(), accuracy

    def _stream(self, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
        member = self.member
        return stream(self.recipe.seed, purpose, member.seed, member.fold, epoch)


def new_network(name: str, rng: np.random.Generator) -> nn.Module:
    """An untrained network whose weights depend on `rng` alone, not on torch's global state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        return NETWORKS[name]()


def load_network(name: str, weights: dict[str, Tensor], placement: Placement) -> nn.Module:
    """A trained network on its device, ready to predict."""
    network = NETWORKS[name]()
    network.load_state_dict(weights)
    return placement.put(network).eval()


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine down to zero.

    After Smith & Topin 2017 (arXiv:1708.07120), without the momentum cycle.
    """
    if progress < WARM_UP:
        return 0.05 + 0.95 * progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def ema(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """An exponential moving average that follows more closely in its first steps.

    With a constant decay of 0.998 the random first weights would still be a tenth of the
    average after 1,150 steps; short runs have fewer.
    """

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = float(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(averaged), list(current), weight)

    return update
