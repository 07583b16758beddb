import numpy as np
from scipy.special import softmax

from digit_recognizer.report.page import probable_label_errors


def test_labels_that_were_swapped_are_found_and_few_others() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 10, 2000)
    proba = softmax(rng.normal(size=(2000, 10)) + 7 * np.eye(10)[true], axis=1)
    swapped = rng.choice(2000, 40, replace=False)
    labels = true.copy()
    labels[swapped] = (true[swapped] + rng.integers(1, 10, 40)) % 10
    found = probable_label_errors(labels, proba)
    assert len(set(found) & set(swapped)) >= 32
    assert len(found) <= 42
    own = proba[found, labels[found]]
    assert (np.diff(own) >= 0).all()


def test_nothing_is_suspected_where_networks_and_labels_agree() -> None:
    labels = np.arange(100) % 10
    proba = np.full((100, 10), 0.01) + 0.9 * np.eye(10)[labels]
    assert len(probable_label_errors(labels, proba)) == 0
