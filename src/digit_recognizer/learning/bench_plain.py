"""What is compared with: a good plain PyTorch loop, as tutorials write it.

One process, all threads, fp32, a DataLoader with as many workers as there are cores, and one
albumentations call for each image.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, get_worker_info

from digit_recognizer.learning.augment import build_policy, use_one_thread
from digit_recognizer.learning.bench import wait_for_device
from digit_recognizer.learning.fit import Rows
from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.learning.parallel import count_cores
from digit_recognizer.learning.recipe import Recipe

WARM_UP_STEPS = 10


class AugmentedDigits(Dataset[tuple[Tensor, int]]):
    """Training rows as float images [1, 28, 28], each with an augmentation draw of its own."""

    def __init__(self, recipe: Recipe, rows: Rows) -> None:
        self.images, self.labels = rows.images, rows.labels
        self.policy = build_policy(recipe)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        if self.policy.transforms:
            image = self.policy(image=image)["image"]
        return torch.from_numpy(image).unsqueeze(0).float() / 255, int(self.labels[index])


def plain_images_per_second(recipe: Recipe, rows: Rows, device: str, seconds: float) -> float:
    """Train the recipe's network in the plain loop for about `seconds`, after a warm-up.

    Network, batch size and augmentation are the recipe's; no schedule and no averaged
    weights. Call it through `bench.alone`, so that its threads and allocator are as PyTorch
    has them.
    """
    torch.set_num_threads(count_cores())
    network = NETWORKS[recipe.network]().to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    batches = _endless(_loader(recipe, rows, device))

    def step() -> int:
        images, labels = next(batches)
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        return len(labels)

    for _ in range(WARM_UP_STEPS):
        step()
    wait_for_device(device)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += step()
    wait_for_device(device)
    return images / (time.perf_counter() - start)


def _loader(recipe: Recipe, rows: Rows, device: str) -> DataLoader[Any]:
    return DataLoader(
        AugmentedDigits(recipe, rows),
        min(recipe.batch_size, len(rows.images)),
        shuffle=True,
        drop_last=True,
        num_workers=count_cores(),
        worker_init_fn=_start_loader_worker,
        persistent_workers=True,
        pin_memory=device.startswith("cuda"),
    )


def _start_loader_worker(worker: int) -> None:
    use_one_thread()
    info = get_worker_info()
    assert info is not None and isinstance(info.dataset, AugmentedDigits)
    # Without this, albumentations draws the same in every worker.
    policy = info.dataset.policy
    policy.set_random_state(np.random.default_rng(worker), random.Random(worker))


def _endless(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader
