"""What the authors of other systems claim for them, and of which rows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """An accuracy as its author states it (None: no figure), and what it was measured on."""

    accuracy: float | None
    kind: str


CLAIMS = {
    "lenet5": Claim(0.987, "own validation rows"),
    "simple-cnn": Claim(0.96, "MNIST test"),
    "two-conv": Claim(None, "no figure"),
    "mlp": Claim(0.97, "MNIST test"),
    "keras-cnn": Claim(0.98930, "Kaggle; 0.9617 on its own test rows"),
    "deotte": Claim(0.99641, "MNIST test, mean of single networks; Kaggle 0.99757 with 15"),
    "ttdoucet": Claim(0.9974, "MNIST test, single networks; 0.99826 with 15"),
    # An et al. 2020: the epoch and the combination were picked on the test rows.
    "mnist-m3": Claim(0.9987, "MNIST test, with M5 and M7, chosen on it"),
    "mnist-m5": Claim(0.9987, "MNIST test, with M3 and M7, chosen on it"),
    "mnist-m7": Claim(0.9987, "MNIST test, with M3 and M5, chosen on it"),
}
