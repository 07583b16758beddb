# %% [markdown]
"""
# From handwritten digits to a submission

This notebook goes through the steps of `make train`, with the functions that the commands call.

It runs on a small sample of real digits that comes with scikit-learn, without an account, in about a
minute. Its accuracies are those of the sample, not of the competition. Each section ends with
something to try: change the cell above and run it again.
"""

# %% jupyter={"source_hidden": true}
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from digit_recognizer.commands.download import fetch_dataset
from digit_recognizer.data.competition import read_submission, write_submission
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.extras.notebook.plots import show_digits
from digit_recognizer.runs.predictions import assemble, mean_proba
from digit_recognizer.runs.score_interval import expected_score
from digit_recognizer.training.augment import augment, build_transform
from digit_recognizer.training.device import find_devices
from digit_recognizer.training.members import all_members, assign_folds
from digit_recognizer.training.models import new_network
from digit_recognizer.training.recipe import Recipe
from digit_recognizer.training.trainer import fit_member

torch.set_num_threads(1)  # as `make train` does for each member: more would wait for each other
temporary = TemporaryDirectory(prefix="digits-")  # removed when the kernel stops
folder = Path(temporary.name)

# %% [markdown]
# ## The data
#
# Every dataset is a folder in the competition's format: a row of `train.csv` is a label and 784
# pixels, a row of `test.csv` 784 pixels. The files are checked when they arrive; `source.json`
# records their source and SHA-256.

# %%
data = load_dataset(fetch_dataset(folder / "data", "sample")[0])
examples = np.array([np.flatnonzero(data.labels == digit)[:2] for digit in range(10)]).T.ravel()
show_digits(data.images[examples], [str(label) for label in data.labels[examples]])

# %% [markdown]
# **Try it:** show twenty digits with the label 7. How many of them have a bar through the middle?

# %% [markdown]
# ## Folds
#
# Stratified k-fold cross-validation measures accuracy on rows that a network was not trained on,
# without losing any row for training: one network is trained per fold, on all *other* folds, and
# predicts its own. So every row is predicted once, by a network that never saw it. These
# predictions are *out of fold*. The classes are balanced: a rare one would hardly count in the accuracy.

# %%
recipe = Recipe(n_splits=3, epochs=6, batch_size=32, ema_decay=0.98)
folds = assign_folds(data, recipe)
pd.crosstab(pd.Series(folds, name="fold"), pd.Series(data.labels, name="label"), margins=True)

# %% [markdown]
# **Try it:** set `n_splits=6`. How many rows is each network trained on then, and what does it cost?

# %% [markdown]
# ## Augmentation
#
# Small random rotations, shifts, zooms, shears and elastic distortions leave the label as it is.
# Drawn anew in each epoch, they reduce overfitting. If they are too strong they hurt: a 6 that is
# rotated far enough is a 9. The first image of each row is the original, the others are augmented.

# %%
transform, rng = build_transform(recipe), np.random.default_rng(0)
rows = examples[[4, 7, 12]]
shown = augment(np.repeat(data.images[rows], 10, axis=0), transform, 1, rng)
shown[::10] = data.images[rows]
show_digits(shown, ["original", *[""] * 9] * 3)

# %% [markdown]
# **Try it:** `build_transform(Recipe(rotation=90))`. Which digits can you no longer read?

# %% [markdown]
# ## The network
#
# A small convolutional network on the middle 24x24 pixels. Max pooling halves the features three
# times, to 3x3, while the channels grow from 64 to 128; global average pooling and a linear layer
# give ten *logits*. A softmax turns them into probabilities. Batch normalization keeps the features
# of each layer at mean 0 and standard deviation 1, which lets the network learn faster.

# %%
x, layers = torch.zeros(1, 1, 28, 28), []
for layer in new_network(recipe).eval().children():
    x = layer(x)
    n_parameters = sum(weight.numel() for weight in layer.parameters())
    layers.append((type(layer).__name__, tuple(x.shape[1:]), n_parameters))
pd.DataFrame(layers, columns=["layer", "output", "parameters"])

# %% [markdown]
# **Try it:** `new_network(Recipe(network="mlp"))` is fully connected. Which of the two has more parameters?

# %% [markdown]
# ## Training
#
# A *member* of the ensemble is one network, with its fold and its seed. Muon, an optimizer that gives
# each direction of a weight matrix a step of the same size, changes the inner convolutions, AdamW all
# other weights. The learning rate rises and falls once. The member predicts with an exponential moving
# average (EMA) of its weights: it is steadier than the last step. The number of epochs is fixed: the
# validation fold never selects an epoch, which would make its accuracy too high. Where the member is not
# confident, test-time augmentation averages its logits over the image and four shifts by one pixel.

# %%
device = find_devices("auto")[0]
first, *others = all_members(recipe)
trained = [fit_member(recipe, data, first, device)]
history = pd.DataFrame([vars(epoch) for epoch in trained[0].history]).set_index("epoch")
history.plot(y=["train_loss", "val_loss"], logy=True, figsize=(6, 3))
plt.show()
history.round(4)

# %% [markdown]
# The training loss is *higher* than the validation loss because it is measured on augmented
# images and smoothed labels, with weights that are not averaged, and during the epoch.
#
# **Try it:** train with `replace(recipe, rotation=0, zoom=0, shift=0, shear=0, elastic=0)`
# (`from dataclasses import replace`). Which of the two losses falls, and which rises?

# %% [markdown]
# ## The ensemble
#
# Networks trained on different rows make different errors, so the mean of their probabilities is
# usually more accurate than a single member. The sample includes the labels of its test rows, which
# the competition keeps secret:

# %%
trained += [fit_member(recipe, data, member, device) for member in others]
test_logits = {one.member.name: one.predictions.test_logits for one in trained}
predicted = {name: logits.argmax(axis=1) for name, logits in test_logits.items()}
predicted["ensemble"] = mean_proba(list(test_logits.values())).argmax(axis=1)
accuracy = pd.Series({name: (p == data.solution).mean() for name, p in predicted.items()})
accuracy.to_frame("accuracy on the test rows")

# %% [markdown]
# **Try it:** average the first two members only. Does the third one help?

# %% [markdown]
# ## Errors
#
# Some errors are digits that a person could not read either, some are wrong labels, and the rest are
# mistakes of the network. The title of an image is its label → the out-of-fold prediction.

# %%
ensemble = assemble([{one.member: one.predictions for one in trained}])
oof_predicted = ensemble.oof_proba.argmax(axis=1)
wrong = np.flatnonzero(oof_predicted != data.labels)[:20]
show_digits(data.images[wrong], [f"{data.labels[row]} → {oof_predicted[row]}" for row in wrong])
pd.crosstab(data.labels, oof_predicted, rownames=["label"], colnames=["predicted"])

# %% [markdown]
# **Try it:** show the *correct* rows with the smallest `ensemble.oof_proba.max(axis=1)`. Would you
# have been sure?

# %% [markdown]
# ## The expected score
#
# The CV accuracy is that of single members. The *expected score*, `low` to `high`, is a
# 95 % prediction interval for the score of the submission, computed without the labels of the test
# rows. It covers the sampling noise of the out-of-fold and the test rows, and the `gain` of the
# ensemble over its members.

# %%
scores = vars(expected_score(data.labels, ensemble)).copy()
scores["CV accuracy"] = (oof_predicted == data.labels).mean()
scores["test accuracy"] = accuracy["ensemble"]
pd.Series(scores).round(5)

# %% [markdown]
# **Try it:** the competition has 28,000 test rows, the sample 360. How much of the interval's width
# would be left with the noise of 28,000?

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
# **Try it:** write a label of 11 and read the file back.
