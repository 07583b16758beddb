"""The baseline: a good plain PyTorch loop, as tutorials write it.

One process, all threads, fp32, a DataLoader with as many workers as there are cores, and one
albumentations call for each image.
"""

import itertools
import random
import time

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import data as torch_data

from digit_recognizer.data.dataset import Dataset
from digit_recognizer.training.augment import build_transform
from digit_recognizer.training.device import count_cores, hide_gpus_from_cpu
from digit_recognizer.training.models import new_network
from digit_recognizer.training.recipe import Recipe

WARMUP_STEPS = 10


class AugmentedDigits(torch_data.Dataset[tuple[Tensor, int]]):
    """Training rows as float images [1, 28, 28], each augmented on its own."""

    def __init__(self, recipe: Recipe, data: Dataset) -> None:
        self.images, self.labels = data.images, data.labels
        self.transform = build_transform(recipe)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(image=self.images[index])["image"]
        return torch.from_numpy(image).unsqueeze(0).float() / 255, int(self.labels[index])


def plain_images_per_second(recipe: Recipe, data: Dataset, device: str, seconds: float) -> float:
    """Train the recipe's network in the plain loop for about `seconds`, after a warm-up.

    Network, batch size and augmentation are the recipe's; no schedule, no averaged weights.
    """
    hide_gpus_from_cpu(device)
    torch.set_num_threads(count_cores())
    network = new_network(recipe).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loader = torch_data.DataLoader(
        AugmentedDigits(recipe, data),
        min(recipe.batch_size, len(data.images)),
        shuffle=True,
        drop_last=True,
        num_workers=count_cores(),
        worker_init_fn=seed_worker,
        persistent_workers=True,
        pin_memory=device.startswith("cuda"),
    )
    batches = (batch for _ in itertools.count() for batch in loader)

    def step() -> int:
        images, labels = (part.to(device, non_blocking=True) for part in next(batches))
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(images), labels))
        optimizer.step()
        return len(labels)

    for _ in range(WARMUP_STEPS):
        step()
    synchronize(device)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += step()
    synchronize(device)
    return images / (time.perf_counter() - start)


def synchronize(device: str) -> None:
    """Wait for all kernels of a GPU; return at once for the CPU."""
    if device != "cpu":
        torch.accelerator.synchronize(device)


def seed_worker(worker: int) -> None:
    """Give a DataLoader worker its own augmentation; albumentations draws the same in all."""
    cv2.setNumThreads(0)
    info = torch_data.get_worker_info()
    assert info is not None and isinstance(info.dataset, AugmentedDigits)
    transform = info.dataset.transform
    transform.set_random_state(np.random.default_rng(worker), random.Random(worker))
