"""Plots of the notebook."""

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray


def show_digits(images: NDArray[np.uint8], titles: list[str]) -> None:
    """Show images [N, 28, 28] in rows of ten, each below its title."""
    n_rows = 1 + (len(images) - 1) // 10
    figure = plt.figure(figsize=(10, 1.25 * n_rows), layout="tight")
    axes = figure.subplots(n_rows, 10, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        ax.set_title(title, fontsize=8)
    plt.show()
