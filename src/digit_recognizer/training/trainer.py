"""Training of one member for a fixed number of epochs: no early stopping, no model selection."""

import math
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import TrainingError
from digit_recognizer.training import members, optim
from digit_recognizer.training.augment import augment, augment_on_device, build_transform
from digit_recognizer.training.device import Device, cuda_capture, graphed, out_of_memory_as
from digit_recognizer.training.models import new_network
from digit_recognizer.training.predict import center_crop, normalize, predict_logits
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.rng import RngPurpose, make_rng, torch_seed

BN_ROWS = 4000  # training rows for the averaged network's BatchNorm statistics
BN_BATCH = 1000  # at most so many of these at a time
FP16_LOSS_SCALE = 128  # a power of two: gradients are divided by it without rounding
MIN_REPORTS = 100  # of progress in an epoch; one for each step if there are fewer
VAL_SUBSET = 2000  # rows for validation and BatchNorm after every epoch but the last


def fit_member(
    recipe: Recipe,
    data: Dataset,
    start: members.Member | members.Checkpoint,
    device: Device,
    on_epoch: Callable[[members.Checkpoint], None] = lambda checkpoint: None,
    on_step: Callable[[float], None] = lambda epochs_done: None,
) -> members.TrainedMember:
    """Train one network on all folds but its own; predict its own fold and the test rows.

    The number of steps is fixed and the last weights are used, averaged where the recipe says
    so. Held-out rows are only reported on: they decide nothing. From a checkpoint of an earlier
    training, which was cut short, it goes on, and on a CPU ends with the same bytes.
    """
    if isinstance(start, members.Member):
        start = members.Checkpoint(start)
    cv2.setNumThreads(0)  # no threads of OpenCV besides those of the members
    fault = f"{start.member.name}: {device.name} has too little free memory"
    advice = f"give a smaller --batch-size (now {recipe.batch_size}), --workers 1, or --device cpu"
    with out_of_memory_as(f"{fault}: {advice}"):
        if device.kind == "cuda":  # else torch also sets up the first GPU
            torch.cuda.set_device(device.name)
        return _Trainer(recipe, data, start.member, device, on_step).fit(on_epoch, start)


class _Trainer:
    """Network, optimizers and averaged weights of a member in training.

    A step neither reads from the host nor synchronizes with it before the epoch ends, so it can be
    captured as a CUDA graph: an epoch's images, targets, learning rates and averaging weights, and
    the counter of its steps, are on the device.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        member: members.Member,
        device: Device,
        on_step: Callable[[float], None] = lambda epochs_done: None,
    ) -> None:
        self.recipe, self.data, self.member, self.device = recipe, data, member, device
        self.on_step = on_step
        folds = members.assign_folds(data, recipe)
        self.train_index = np.flatnonzero(folds != member.fold)
        self.val_index = np.flatnonzero(folds == member.fold)
        self.val_logits = np.empty((0, 10), dtype=np.float32)
        with torch_seed(self._rng(RngPurpose.WEIGHTS)):
            self.network = device.to_device(new_network(recipe).train())
        self._ema = optim.EMA(self.network) if recipe.ema_decay else None
        self.batch_size = min(recipe.batch_size, len(self.train_index))
        self.steps_per_epoch = len(self.train_index) // self.batch_size
        self._lr_factor = optim.lr_lambda(recipe, self.steps_per_epoch)
        self._allocate()
        self.optimizers = optim.build_optimizers(recipe, self.network.parameters(), self._lr)
        # Without a reference cycle, which would keep a graph's memory after its member, and break
        # the capture of a later graph if the garbage collector came in the middle of it.
        self._run_step = partial(_Trainer._step, weakref.proxy(self))
        # A graph would repeat a random number that a user's network draws on the host.
        if device.kind == "cuda" and not recipe.network_source:
            capture = partial(cuda_capture, device=device.name)
            self._run_step = partial(next, graphed(self._run_step, capture))  # a call is a step

    def _allocate(self) -> None:
        """Allocate what the steps read and write."""
        device, steps = self.device.name, self.steps_per_epoch
        shape, side = (steps, self.batch_size), self.data.images.shape[1:]
        self._images = torch.zeros(*shape, *side, dtype=torch.uint8, device=device)
        self._targets = torch.zeros(shape, dtype=torch.int64, device=device)
        self._lrs = torch.zeros(steps, dtype=optim.lr_dtype(device), device=device)
        self._ema_weights = torch.zeros(steps, device=device)
        self._lr = self._lrs[0].clone()  # of the step
        self._step_index = torch.zeros(1, dtype=torch.int64, device=device)
        self._loss_sum = torch.zeros((), device=device)
        self._n_correct = torch.zeros((), device=device)

    def fit(
        self, on_epoch: Callable[[members.Checkpoint], None], start: members.Checkpoint
    ) -> members.TrainedMember:
        """Train for all epochs, or those that `start` lacks, and predict the test rows."""
        history = list(start.history)
        if history:
            self.load_state_dict(start.state)
        for epoch in range(len(history) + 1, self.recipe.epochs + 1):
            history.append(self.run_epoch(epoch))
            on_epoch(members.Checkpoint(self.member, tuple(history), self.state_dict()))
        network = self.predictor
        weights = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
        test_logits = predict_logits(network, self.data.test_images, self.recipe, self.device)
        predictions = members.Predictions(self.val_index, self.val_logits, test_logits)
        return members.TrainedMember(self.member, weights, predictions, tuple(history))

    @property
    def predictor(self) -> nn.Module:
        """The network that predicts: with averaged weights, or with the last ones without EMA."""
        return self._ema.network if self._ema else self.network

    def state_dict(self) -> dict[str, NDArray[np.generic]]:
        """Return a copy of all that an epoch hands on to the next, by name."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self._tensors().items()}

    def load_state_dict(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from what `state_dict` returned in an earlier training of the same member."""
        # Allocates the optimizers' state. What it changes is overwritten, here and by each epoch.
        self._step()
        try:
            with torch.no_grad():
                for name, tensor in self._tensors().items():
                    tensor.copy_(torch.from_numpy(state[name]))
        except (KeyError, RuntimeError, TypeError):
            fault = f"{self.member.name}: its checkpoint does not fit this network"
            raise TrainingError(f"{fault}: delete its folder and repeat the command") from None

    def _tensors(self) -> dict[str, Tensor]:
        modules = {"network": self.network, "predictor": self.predictor}
        state = {f"{of}.{k}": t for of, m in modules.items() for k, t in m.state_dict().items()}
        for optimizer in self.optimizers:
            for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
                values = optimizer.state[parameter].items()
                state |= {f"{type(optimizer).__name__}.{index}.{k}": t for k, t in values}
        return state

    def run_epoch(self, epoch: int) -> members.EpochMetrics:
        """Train on every training row once, then evaluate on held-out rows."""
        start = time.perf_counter()
        order = self._rng(RngPurpose.ORDER, epoch).permutation(self.train_index)
        images = self._augment(self.data.images[order], self._rng(RngPurpose.AUGMENT, epoch))
        augment_seconds = time.perf_counter() - start
        self._load_batches(images, self.data.labels[order])
        first_step = (epoch - 1) * self.steps_per_epoch
        self._load_schedule(first_step)
        with torch_seed(self._rng(RngPurpose.DROPOUT, epoch), self.device.name):
            training = self._train_epoch(first_step)
        validation = self._evaluate(on_all_rows=epoch == self.recipe.epochs)
        # The last step may have spoilt the weights, which only the second loss shows.
        self._check_finite(training[0] + validation[0], epoch)
        lr = self.recipe.lr * self._lr_factor(epoch * self.steps_per_epoch - 1)
        seconds = time.perf_counter() - start
        return members.EpochMetrics(epoch, lr, *training, *validation, seconds, augment_seconds)

    def _augment(self, images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
        if self.device.kind != "cpu":
            return augment_on_device(images, self.recipe, rng, self.device.name)
        transform = build_transform(self.recipe)
        return torch.from_numpy(augment(images, transform, self.recipe.group_size, rng))

    def _load_batches(self, images: Tensor, labels: NDArray[np.int64]) -> None:
        """Put an epoch's rows, in order, on the device, as whole batches only."""
        n_rows = self._targets.numel()
        self._images.copy_(images[:n_rows].view(self._images.shape))
        self._targets.copy_(torch.from_numpy(labels[:n_rows]).view(self._targets.shape))

    def _load_schedule(self, first_step: int) -> None:
        """Put an epoch's learning rates and averaging weights on the device."""
        steps = range(first_step, first_step + self.steps_per_epoch)
        lrs = [self.recipe.lr * self._lr_factor(step) for step in steps]
        self._lrs.copy_(torch.tensor(lrs, dtype=self._lrs.dtype))
        weights = [optim.ema_weight(step, self.recipe.ema_decay) for step in steps]
        self._ema_weights.copy_(torch.tensor(weights))

    def _train_epoch(self, first_step: int) -> tuple[float, float]:
        """Train on every batch once; return the mean loss and the accuracy."""
        self.network.train()
        for total in (self._step_index, self._loss_sum, self._n_correct):
            total.zero_()
        for step in range(first_step, first_step + self.steps_per_epoch):
            if step % max(1, self.steps_per_epoch // MIN_REPORTS) == 0:
                self.on_step(step / self.steps_per_epoch)
            self._run_step()
        torch.backends.cudnn.benchmark = False  # a prediction has batches of many sizes
        accuracy = self._n_correct.item() / self._targets.numel()
        return self._loss_sum.item() / self.steps_per_epoch, accuracy

    def _step(self) -> None:
        """Train on the next batch."""
        torch.backends.cudnn.benchmark = True  # on CUDA, try all algorithms for a new shape
        tables = (self._images, self._targets, self._lrs, self._ema_weights)
        images, target, lr, weight = (x.index_select(0, self._step_index)[0] for x in tables)
        self._lr.copy_(lr)
        with self.device.autocast():
            logits = self.network(normalize(images, self.device, self.recipe.scaling))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.recipe.label_smoothing)
        self._backward(loss)
        for optimizer in self.optimizers:
            optimizer.step()
        if self._ema:
            self._ema.update(self.network, weight)
        self._loss_sum += loss.detach()
        self._n_correct += (logits.argmax(1) == target).sum()
        self._step_index += 1

    def _backward(self, loss: Tensor) -> None:
        """Compute the gradients; fp16 would lose small ones, so there the loss is scaled up."""
        self.network.zero_grad(set_to_none=True)
        scaled = self.device.precision == "fp16"
        torch.autograd.backward(loss * FP16_LOSS_SCALE if scaled else loss)
        if scaled:
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            torch._foreach_div_(gradients, FP16_LOSS_SCALE)

    def _check_finite(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            fault = f"{self.member.name}: the loss is {loss} in epoch {epoch}"
            advice = f"lower the learning rate (--lr, now {self.recipe.lr:g})"
            if self.device.precision == "fp16":
                advice += ", or give --device cpu: fp16 numbers end at 65504"
            raise TrainingError(f"{fault}: {advice}")

    def _evaluate(self, on_all_rows: bool) -> tuple[float, float]:
        """Recompute the averaged network's BatchNorm and `val_logits`; return loss and accuracy.

        On all held-out rows with TTA, or on `VAL_SUBSET` of them without.
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
        # Buffers of other layers, such as spectral_norm's, are those of the trained network.
        for average, value in zip(network.buffers(), self.network.buffers(), strict=True):
            average.copy_(value)
        rows = evenly_spaced(self.train_index, n_rows)
        images = torch.from_numpy(self.data.images[rows]).to(self.device.name)
        # Every batch weighs the same, so their sizes differ by a row at most.
        batches = images.tensor_split(math.ceil(len(images) / BN_BATCH))
        cropped = [center_crop(batch, self.recipe.crop) for batch in batches]  # as at prediction
        prepared = [normalize(x, self.device, self.recipe.scaling) for x in cropped]
        with self.device.autocast():
            optim.update_bn(network, prepared)

    def _rng(self, purpose: RngPurpose, epoch: int = 0) -> np.random.Generator:
        return make_rng(self.recipe.seed, purpose, self.member.seed, self.member.fold, epoch)


def evenly_spaced(index: NDArray[np.int64], n_rows: int) -> NDArray[np.int64]:
    """Return at most `n_rows` of the rows `index` [N], evenly spaced: a file may be sorted."""
    return index[np.linspace(0, len(index) - 1, min(n_rows, len(index))).astype(np.int64)]
