"""Where a training epoch's time goes, by torch's profiler."""

import torch
from torch.profiler import ProfilerActivity, profile

from digit_recognizer.learning.device import Placement
from digit_recognizer.learning.fit import Epoch, Rows, fit_member
from digit_recognizer.learning.folds import Member
from digit_recognizer.learning.recipe import Recipe

# The first group one of whose words is part of an operator's name takes it.
GROUPS = {
    "convolution backward": ("convolution_backward", "conv_depthwise2d_backward"),
    "convolution forward": ("convolution", "conv2d"),
    "batch norm": ("batch_norm",),
    "pooling": ("max_pool", "adaptive_avg_pool"),
    "optimizer": ("adam", "Optimizer."),
    "averages of weights and gradients": ("lerp",),
    "copies and casts": ("copy", "clone", "contiguous", "empty", "zero", "fill", "Memcpy"),
    "linear layers and Muon": ("addmm", "aten::mm", "linear"),
    "ReLU and sums": ("relu", "threshold", "aten::add", "clamp"),
}
OTHERS, AUGMENTATION, BETWEEN = "others", "augmentation", "between operators"


class _FirstEpochError(Exception):
    """Ends a training after its first epoch, which it holds."""


def time_shares(
    recipe: Recipe, rows: Rows, member: Member, placement: Placement
) -> dict[str, float]:
    """Share of a member's first epoch, its look at held-out rows included, by operator group.

    On a CPU the shares, augmentation and the time between operators (Python) add up to 1. On
    a GPU they are those of its own busy time. Call it through `bench.alone`: one thread.
    """
    torch.set_num_threads(1)
    on_gpu = placement.device.startswith("cuda")
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    profiler = profile(activities=kinds, acc_events=True)

    def stop(epoch: Epoch) -> None:
        profiler.stop()
        raise _FirstEpochError(epoch)

    profiler.start()
    try:
        fit_member(recipe, rows, member, placement, stop)
    except _FirstEpochError as ended:
        epoch: Epoch = ended.args[0]
    seconds: dict[str, float] = dict.fromkeys([*GROUPS, OTHERS], 0.0)
    for event in profiler.key_averages():
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[group_of(event.key)] += spent / 1e6
    if not on_gpu:
        seconds[AUGMENTATION] = epoch.augment_seconds
        seconds[BETWEEN] = max(0.0, epoch.seconds - sum(seconds.values()))
    whole = sum(seconds.values())
    return {name: spent / whole for name, spent in seconds.items()}


def group_of(operator: str) -> str:
    """The group that an operator, by its name, belongs to."""
    for group, words in GROUPS.items():
        if any(word in operator for word in words):
            return group
    return OTHERS
