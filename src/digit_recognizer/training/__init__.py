"""Arrays in, arrays out: recipes, members, networks, training and prediction."""

import os

# Otherwise the import of albumentations asks the network for updates.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
