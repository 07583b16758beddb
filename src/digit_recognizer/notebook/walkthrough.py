# %% [markdown]
"""
# From handwritten digits to a submission

This notebook walks once through everything that `make train` does: look at the data, split it
into folds, distort it a little, train a small network, put several networks together, look at
their mistakes, and write the file that Kaggle takes. Nothing is explained away: every cell
calls the same functions as the commands do, so each of them is a door into the code.

It runs on a small sample of real digits that comes with scikit-learn, so it needs no account
and takes about a minute. Its figures are those of that sample, not of the competition.
"""

# %%
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Pretty
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digit_recognizer.learning.augment import augment, build_policy
from digit_recognizer.learning.device import find_placements
from digit_recognizer.learning.fit import Epoch, Rows, fit_member, new_network
from digit_recognizer.learning.folds import Member, fold_of_rows
from digit_recognizer.learning.metrics import mean_proba
from digit_recognizer.learning.recipe import Recipe
from digit_recognizer.pages.cv_text import cv_text
from digit_recognizer.stages.download import download
from digit_recognizer.stages.ensemble import finish
from digit_recognizer.stages.train import Request, train
from digit_recognizer.storage import datasets
from digit_recognizer.storage.competition import read_submission
from digit_recognizer.storage.oof import read_oof

plt.rcParams.update({"figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})
workshop = TemporaryDirectory(prefix="digits-")  # gone when the notebook ends
place = Path(workshop.name)

# %% [markdown]
# ## The data
#
# Whatever its source, a dataset is a folder in the competition's own format: `train.csv` holds a
# label and 784 pixels a row, `test.csv` the pixels alone. It is checked when it arrives, and
# `source.json` keeps where it came from and the SHA-256 of each file.

# %%
folder, provenance, fetched = download(place / "data", "sample")
data, provenance = datasets.load(folder)
pd.Series(
    {
        "training images": str(data.images.shape),
        "test images": str(data.test_images.shape),
        "pixels": f"{data.images.dtype}, {data.images.min()} to {data.images.max()}",
        "may be submitted": provenance.may_submit,
    }
)

# %% [markdown]
# ## A look at it
#
# Before any network: what do the digits look like, and are all ten there equally often? A class
# that is rare would be learned badly and hardly show in the accuracy.


# %%
def show(images: NDArray[np.uint8], titles: list[str], columns: int = 10) -> Figure:
    """Draw images [N, 28, 28] in rows, each with its title."""
    n_rows = -(-len(images) // columns)
    figure, axes = plt.subplots(n_rows, columns, figsize=(columns, 1.25 * n_rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        ax.set_title(title, fontsize=8, pad=2)
    figure.tight_layout()
    plt.close(figure)  # it is shown once, as the value of its cell
    return figure


first = np.concatenate([np.flatnonzero(data.labels == digit)[:2] for digit in range(10)])
first = np.concatenate([first[::2], first[1::2]])
show(data.images[first], [str(label) for label in data.labels[first]])

# %%
counts = np.bincount(data.labels, minlength=10)
figure, ax = plt.subplots(figsize=(6, 2.4))
ax.bar(range(10), counts, color="#1f55c4")
ax.set(xticks=range(10), xlabel="digit", ylabel="training rows", title="All ten are there")
plt.show()

# %% [markdown]
# ## Folds
#
# How good is a network on digits that it has not seen? To find out without giving up any row, the
# rows are dealt into folds, each class spread evenly. One network is trained for each fold, on
# all the *other* folds, and then judged on its own. So every row is judged exactly once, by a
# network that never saw it: these predictions are called *out of fold*.

# %%
recipe = Recipe(n_splits=3, epochs=6, batch_size=32, ema_decay=0.98)
folds = fold_of_rows(data.labels, recipe.n_splits, recipe.split_seed)
pd.crosstab(pd.Series(folds, name="fold"), pd.Series(data.labels, name="digit"), margins=True)

# %% [markdown]
# ## Augmentation
#
# A seven that is turned by five degrees is still a seven. Small distortions, drawn anew in every
# epoch, teach that to a network, and spare it from learning its training rows by heart. Too much
# of it hurts: a six that is turned far enough is a nine. The first digit of each row below is the
# image itself; the others are draws of this recipe's policy.

# %%
policy = build_policy(recipe)
rng = np.random.default_rng(0)
chosen = first[[2, 6, 7]]
shown = np.concatenate(
    [
        np.r_[data.images[[row]], augment(np.repeat(data.images[[row]], 9, axis=0), policy, 1, rng)]
        for row in chosen
    ]
)
show(shown, (["as it is"] + [""] * 9) * len(chosen))

# %% [markdown]
# ## The network
#
# A small convolutional network that looks at the middle 24x24 pixels. A first convolution makes
# 32 channels of the one; then come four blocks of a norm and a convolution, each beside a path
# that leaves its input as it is. Between them the image is halved three times, to 3x3 pixels,
# while its channels grow to 128. The mean over what is left becomes ten numbers, one a digit: the
# *logits*. A softmax turns them into probabilities.

# %%
network = new_network(recipe.network, np.random.default_rng(0))
sizes: dict[str, int] = {}
for part in network.children():
    size = sum(weights.numel() for weights in part.parameters())
    if size:
        kind = type(part).__name__
        sizes[kind] = sizes.get(kind, 0) + size
table = [*sizes.items(), ("together", sum(sizes.values()))]
pd.DataFrame(table, columns=["part", "parameters"]).set_index("part")

# %% [markdown]
# ## Training one member
#
# A member of the ensemble is one fold and one seed. One optimizer, Muon, moves the inner
# convolutions, another, AdamW, the rest. The learning rate rises for a fifth of the steps and then
# falls to zero; what counts in the end is a running average of the weights. The length is fixed
# beforehand: nothing is ever chosen by looking at the held-out rows, or the figure they give would
# flatter. An image that leaves the trained network in doubt is looked at again, shifted by a pixel
# to each of four sides, and the mean of all five views counts.

# %%
placements, warning = find_placements("auto")
rows = Rows(data.images, data.labels, folds, data.test_images)
trained = fit_member(recipe, rows, Member(fold=0, seed=0), placements[0])
history = pd.DataFrame([vars(epoch) for epoch in trained.history]).set_index("epoch")
history[["lr", "train_loss", "val_loss", "train_accuracy", "val_accuracy"]].round(4)

# %% [markdown]
# The training loss lies *above* that of the held-out rows: it is measured on distorted digits and
# smoothed labels, by weights that are not averaged, and during the epoch rather than after it.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
history[["train_loss", "val_loss"]].plot(ax=left, color=["#c2551a", "#1f55c4"], logy=True)
history[["train_accuracy", "val_accuracy"]].plot(ax=right, color=["#c2551a", "#1f55c4"])
left.set_title("loss")
right.set_title("accuracy")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## The ensemble
#
# Networks that were trained on different rows make different mistakes. Where one is wrong the
# others are often right, so the mean of their probabilities is better than most of them alone.
# This trains one member for each fold, beside each other, and keeps each as soon as it is done;
# `finish` then needs their predictions only, and writes the report and the submission.


# %%
class Curves:
    """Writes down every epoch of every member."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def begin(self, members: Sequence[Member], done: Sequence[Member], epochs: int) -> None:
        """Training starts."""

    def epoch(self, member: Member, epoch: Epoch) -> None:
        """A member finished an epoch."""
        self.rows.append({"member": member.name, **vars(epoch)})

    def end(self) -> None:
        """Training is over."""


curves = Curves()
notes: list[str] = []
request = Request("sample", "default", recipe)
submissions = place / "submissions"
run = train(place / "data", submissions, request, "walk", "auto", None, curves, notes.append)
report = finish(run, place / "data")

figure, ax = plt.subplots(figsize=(6, 2.6))
for name, rows_of_one in pd.DataFrame(curves.rows).groupby("member"):
    ax.plot(rows_of_one["epoch"], rows_of_one["val_accuracy"], marker=".", label=str(name))
ax.set(xlabel="epoch", ylabel="accuracy", title="each member on the fold that it never saw")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# A run is a folder of plain files. Its out-of-fold accuracy is that of single members; the sample
# knows the labels of its test rows, so here we can see what the competition keeps to itself:
# each member's accuracy on them, and that of all together.

# %%
members = run.member_names()
predictions = [run.read_member(name) for name in members]
assert data.solution is not None
scores = {
    name: float((member.test_logits.argmax(axis=1) == data.solution).mean())
    for name, member in zip(members, predictions, strict=True)
}
together = mean_proba([member.test_logits for member in predictions])
scores["together"] = float((together.argmax(axis=1) == data.solution).mean())
figure, ax = plt.subplots(figsize=(6, 1.9))
colors = ["#9db8ea"] * len(members) + ["#1f55c4"]
bars = ax.barh(list(scores), list(scores.values()), color=colors)
ax.bar_label(bars, fmt="%.4f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(min(scores.values()) - 0.01, 1.0), title="accuracy on the test rows")
plt.show()

# %% [markdown]
# ## Mistakes
#
# The errors are worth more than the accuracy: some are digits that a person would also have to
# guess at, some are wrong labels, and what is left is the network's own. Each is shown with its
# label and, after the arrow, what the members said that had never seen it.

# %%
oof = read_oof(run.oof_path)
wrong = np.flatnonzero(oof.predicted != oof.labels)[:20]
captions = [f"{oof.labels[row]} → {oof.predicted[row]}" for row in wrong]
show(data.images[oof.rows[wrong]], captions)

# %%
confusion = np.array(report["confusion"])
errors = confusion - np.diag(np.diag(confusion))
figure, ax = plt.subplots(figsize=(4, 4))
ax.imshow(errors, cmap="Blues")
for label, said in np.argwhere(errors):
    dark = errors[label, said] > errors.max() / 2
    ax.text(said, label, errors[label, said], ha="center", va="center", color="wk"[not dark])
ax.set(xticks=range(10), yticks=range(10), xlabel="predicted", ylabel="label")
ax.set_title("errors, out of fold")
plt.show()

# %% [markdown]
# ## The submission
#
# The file has one row for each test image, numbered from 1. It is written strictly and read back
# strictly: a wrong number of rows or a label that is no digit is an error here, not at Kaggle.

# %%
labels = read_submission(run.submission_path, len(data.test_images))
pd.read_csv(run.submission_path).head()

# %% [markdown]
# And the report, as `make cv` prints it. The *expected score* is an interval for the score of this
# very file, made without a single label of the test rows: it holds the chance in the test rows,
# the chance in the out-of-fold rows, and what the ensemble may add.

# %%
Pretty(cv_text(run.name, report))

# %% [markdown]
# ## What next
#
# - `make download` and `make train` do all of this on the competition's 42,000 rows.
# - `make report` draws everything about a run on one page, `make play` lets you draw digits for it.
# - Read on in `learning/recipe.py`, then `learning/fit.py`: that is most of what there is.
