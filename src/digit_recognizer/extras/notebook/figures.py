"""Figures of the walkthrough."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from digit_recognizer.training.members import TrainedMember

BLUE, RUST, PALE = "#1f55c4", "#c2551a", "#9db8ea"
plt.rcParams.update({"figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})


def show_digits(images: NDArray[np.uint8], titles: Sequence[str], columns: int = 10) -> None:
    """Show images [N, 28, 28] in a grid, each below its title."""
    n_rows = max(1, -(-len(images) // columns))
    figure, axes = plt.subplots(n_rows, columns, figsize=(columns, 1.25 * n_rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        ax.set_title(title, fontsize=8, pad=2)
    figure.tight_layout()
    plt.show()


def plot_counts(labels: NDArray[np.int64]) -> None:
    """Plot the number of rows of each class."""
    _, ax = plt.subplots(figsize=(6, 2.4))
    ax.bar(range(10), np.bincount(labels, minlength=10), color=BLUE)
    ax.set(xticks=range(10), xlabel="label", ylabel="training rows", title="Rows of each class")
    plt.show()


def layer_table(network: torch.nn.Module) -> pd.DataFrame:
    """Return the layers of a network, the shape of their outputs, and their parameters."""
    x, layers = torch.zeros(1, 1, 28, 28), []
    for layer in network.eval().children():
        x = layer(x)
        n_parameters = sum(weight.numel() for weight in layer.parameters())
        layers.append((type(layer).__name__, str(tuple(x.shape[1:])), n_parameters))
    return pd.DataFrame(layers, columns=["layer", "output", "parameters"])


def history_table(member: TrainedMember) -> pd.DataFrame:
    """Return a member's losses and accuracies by epoch."""
    history = pd.DataFrame([vars(epoch) for epoch in member.history]).set_index("epoch")
    return history[["lr", "train_loss", "val_loss", "train_accuracy", "val_accuracy"]].round(4)


def plot_history(history: pd.DataFrame) -> None:
    """Plot training and validation, side by side for loss and accuracy."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
    history[["train_loss", "val_loss"]].plot(ax=left, color=[RUST, BLUE], logy=True, title="loss")
    accuracies = history[["train_accuracy", "val_accuracy"]]
    accuracies.plot(ax=right, color=[RUST, BLUE], title="accuracy")
    figure.tight_layout()
    plt.show()


def plot_accuracies(accuracies: "pd.Series[float]") -> None:
    """Plot accuracies by name; the last one stands out."""
    _, ax = plt.subplots(figsize=(6, 1.9))
    colors = [*[PALE] * (len(accuracies) - 1), BLUE]
    ax.bar_label(ax.barh(list(accuracies.index), accuracies, color=colors), fmt="%.4f", padding=3)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), title="accuracy on the test rows")
    plt.show()


def plot_confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    """Plot how often each label was predicted as which other digit."""
    errors = confusion_matrix(labels, predicted)
    np.fill_diagonal(errors, 0)
    ConfusionMatrixDisplay(errors).plot(cmap="Blues", colorbar=False)
    plt.title("out-of-fold errors")
    plt.show()
