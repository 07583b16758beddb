"""Arrays in, arrays out: recipes, members, networks, training and prediction."""

import os

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # else its import asks the network for updates
