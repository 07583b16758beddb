# %% [markdown]
"""
# From handwritten digits to a submission

This notebook goes through the steps of `make train`: look at the data, split it into folds,
augment it, train a network per fold, average the networks, study the errors, and write the file
for Kaggle. Every step calls the functions that the commands call.

It runs on a small sample of real digits that comes with scikit-learn, so it needs no account and
about a minute. Its accuracies are those of the sample, not of the competition.
"""

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.competition import read_submission, write_submission
from digit_recognizer.data.dataset import load
from digit_recognizer.runs.predictions import assemble, mean_proba
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.augment import augment, build_transform
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.members import all_members, assign_folds
from digit_recognizer.training.models import build_network
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

torch.set_num_threads(1)  # these networks are small: more threads would wait for each other
plt.rcParams.update({"figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})
temporary = TemporaryDirectory(prefix="digits-")  # removed when the kernel stops
folder = Path(temporary.name)


# %% jupyter={"source_hidden": true}
def show(images: NDArray[np.uint8], titles: list[str], columns: int = 10) -> None:
    """Show images [N, 28, 28] in a grid, each below its title."""
    n_rows = -(-len(images) // columns)
    figure, axes = plt.subplots(n_rows, columns, figsize=(columns, 1.25 * n_rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        ax.set_title(title, fontsize=8, pad=2)
    figure.tight_layout()
    plt.show()


# %% [markdown]
# ## The data
#
# Every dataset is a folder in the competition's format: a row of `train.csv` is a label and 784
# pixels, a row of `test.csv` 784 pixels. The files are checked when they arrive; `source.json`
# records their source and SHA-256.

# %%
dataset_dir = fetch_dataset(folder / "data", "sample")[0]
data = load(dataset_dir)
arrays = {name: array for name, array in vars(data).items() if isinstance(array, np.ndarray)}
facts = [(name, a.shape, a.dtype, a.min(), a.max()) for name, a in arrays.items()]
pd.DataFrame(facts, columns=["array", "shape", "dtype", "min", "max"])

# %%
examples = np.array([np.flatnonzero(data.labels == digit)[:2] for digit in range(10)]).T.ravel()
show(data.images[examples], [str(label) for label in data.labels[examples]])

# %% [markdown]
# The classes are balanced. Errors on a rare class would hardly show in the accuracy.

# %%
counts = np.bincount(data.labels, minlength=10)
figure, ax = plt.subplots(figsize=(6, 2.4))
ax.bar(range(10), counts, color="#1f55c4")
ax.set(xticks=range(10), xlabel="label", ylabel="training rows", title="Rows of each class")
plt.show()

# %% [markdown]
# ## Folds
#
# Stratified k-fold cross-validation measures accuracy on rows that a network was not trained on,
# without losing any row for training: one network is trained per fold, on all *other* folds, and
# predicts its own. So every row is predicted once, by a network that never saw it. These
# predictions are *out of fold*.

# %%
recipe = Recipe(n_splits=3, epochs=6, batch_size=32, ema_decay=0.98)
folds = assign_folds(data, recipe.n_splits, recipe.split_seed)
pd.crosstab(pd.Series(folds, name="fold"), pd.Series(data.labels, name="label"), margins=True)

# %% [markdown]
# ## Augmentation
#
# Small random rotations, shifts, zooms, shears and elastic distortions leave the label as it is.
# Drawn anew in each epoch, they reduce overfitting. If they are too strong they hurt: a 6 that is
# rotated far enough is a 9. The first image of each row is the original, the others are augmented.

# %%
transform, rng = build_transform(recipe), np.random.default_rng(0)
rows = examples[[4, 7, 12]]
augmented = [augment(np.repeat(data.images[[row]], 9, axis=0), transform, 1, rng) for row in rows]
pairs = zip(data.images[rows], augmented, strict=True)
show(np.concatenate([[image, *draws] for image, draws in pairs]), ["original", *[""] * 9] * 3)

# %% [markdown]
# ## The network
#
# A small convolutional network on the middle 24x24 pixels. Max pooling halves the features three
# times, to 3x3, while the channels grow from 32 to 128; global average pooling and a linear layer
# give ten *logits*. A softmax turns them into probabilities.

# %%
network = build_network(recipe.network, np.random.default_rng(0)).eval()
x = torch.zeros(1, 1, 28, 28)
layers = []
for layer in network.children():
    x = layer(x)
    n_parameters = sum(weight.numel() for weight in layer.parameters())
    layers.append((type(layer).__name__, str(tuple(x.shape[1:])), n_parameters))
pd.DataFrame(layers, columns=["layer", "output", "parameters"])

# %% [markdown]
# ## Training
#
# A *member* of the ensemble is one network, with its fold and its seed. Muon optimizes the inner
# convolutions, AdamW all other weights, on a one-cycle schedule. The member predicts with an
# exponential moving average (EMA) of its weights. The number of epochs is fixed: the validation
# fold never selects an epoch, which would make its accuracy too high. If the member is not confident
# about an image, test-time augmentation averages its logits over five views: the image and four
# shifts by one pixel.

# %%
device = find_devices("auto")[0]
first, *others = all_members(recipe)
trained = [fit_member(recipe, data, first, device)]
history = pd.DataFrame([vars(epoch) for epoch in trained[0].history]).set_index("epoch")
history[["lr", "train_loss", "val_loss", "train_accuracy", "val_accuracy"]].round(4)

# %% [markdown]
# The training loss is *higher* than the validation loss because it is measured on augmented
# images and smoothed labels, with weights that are not averaged, and during the epoch.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
history[["train_loss", "val_loss"]].plot(ax=left, color=["#c2551a", "#1f55c4"], logy=True)
history[["train_accuracy", "val_accuracy"]].plot(ax=right, color=["#c2551a", "#1f55c4"])
left.set_title("loss")
right.set_title("accuracy")
figure.tight_layout()
plt.show()

# %% [markdown]
# `make train` trains several members at a time, one per GPU or CPU core, and saves each one when it
# is done. Here the other members are trained one after another.

# %%
trained += [fit_member(recipe, data, member, device) for member in others]
figure, ax = plt.subplots(figsize=(6, 2.6))
for one in trained:
    accuracies = [epoch.val_accuracy for epoch in one.history]
    ax.plot(range(1, recipe.epochs + 1), accuracies, marker=".", label=one.member.name)
ax.set(xlabel="epoch", ylabel="accuracy", title="Each member on its validation fold")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The ensemble
#
# Networks trained on different rows make different errors, so the mean of their probabilities is
# usually more accurate than a single member. The sample includes the labels of its test rows, which
# the competition keeps secret:

# %%
test_logits = {one.member.name: one.predictions.test_logits for one in trained}
predicted = {name: logits.argmax(axis=1) for name, logits in test_logits.items()}
predicted["ensemble"] = mean_proba(list(test_logits.values())).argmax(axis=1)
accuracy = {name: (labels == data.solution).mean() for name, labels in predicted.items()}
figure, ax = plt.subplots(figsize=(6, 1.9))
bars = ax.barh(list(accuracy), list(accuracy.values()), color=["#9db8ea"] * 3 + ["#1f55c4"])
ax.bar_label(bars, fmt="%.4f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(min(accuracy.values()) - 0.01, 1), title="accuracy on the test rows")
plt.show()

# %% [markdown]
# ## Errors
#
# Some errors are digits that a person could not read either, some are wrong labels, and the rest are
# mistakes of the network. The title of an image is its label → the out-of-fold prediction.

# %%
oof_logits = np.empty((len(data.labels), 10), dtype=np.float32)
for one in trained:
    oof_logits[one.predictions.val_index] = one.predictions.val_logits
oof_predicted = oof_logits.argmax(axis=1)
wrong = np.flatnonzero(oof_predicted != data.labels)[:20]
show(data.images[wrong], [f"{data.labels[row]} → {oof_predicted[row]}" for row in wrong])

# %%
errors = confusion_matrix(data.labels, oof_predicted)
np.fill_diagonal(errors, 0)
ConfusionMatrixDisplay(errors).plot(cmap="Blues", colorbar=False)
plt.title("out-of-fold errors")
plt.show()

# %% [markdown]
# ## The expected score
#
# The accuracy out of fold is that of single members. The *expected score*, `low` to `high`, is a
# 95 % prediction interval for the score of the submission, computed without the labels of the test
# rows. It covers the sampling noise of the out-of-fold and the test rows, and the `gain` of the
# ensemble over its members.

# %%
ensemble = assemble([{one.member: one.predictions for one in trained}])
scores = vars(expected_score(data.labels, ensemble)).copy()
scores["out-of-fold accuracy"] = (oof_predicted == data.labels).mean()
scores["test accuracy"] = accuracy["ensemble"]
pd.Series(scores).round(5)

# %% [markdown]
# ## The submission
#
# `submission.csv` has one row per test image, numbered from 1. Reading it back checks the number of
# rows and the range of the labels, so that a broken file is found here and not by Kaggle.

# %%
submission = folder / "submission.csv"
write_submission(submission, predicted["ensemble"])
read_submission(submission, len(data.test_images))
pd.read_csv(submission).head()

# %% [markdown]
# ## Next steps
#
# - `make download` and `make train` run these steps on the competition's 42,000 rows.
# - `make report` draws a page about a run; `make play` predicts digits that you draw.
# - To read the code, start with `pipeline.py`, `training/recipe.py` and `training/trainer.py`.
