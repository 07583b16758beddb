import numpy as np
from scipy.special import softmax
from support.small import images

from digit_recognizer.data.competition import Dataset
from digit_recognizer.report.page import contradictory_labels, probable_label_errors
from digit_recognizer.runs.predictions import OutOfFold


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


def test_an_image_with_two_labels_is_an_issue_where_the_prediction_is_another() -> None:
    image = images(4)
    data = Dataset(image[[0, 1, 0, 2, 3, 3]], np.array([5, 1, 6, 2, 4, 4]), image[:1])
    predicted = np.array([6, 0, 6, 2, 3, 3])
    proba = np.eye(10)[predicted]
    oof = OutOfFold(np.arange(6), data.labels, np.zeros(6, dtype=np.int64), predicted, proba)
    assert contradictory_labels(data, oof).tolist() == [0]


def test_where_all_labels_are_the_same_none_is_suspected() -> None:
    assert len(probable_label_errors(np.full(20, 3), np.full((20, 10), 0.1))) == 0


def test_nothing_is_suspected_where_networks_and_labels_agree() -> None:
    labels = np.arange(100) % 10
    proba = np.full((100, 10), 0.01) + 0.9 * np.eye(10)[labels]
    assert len(probable_label_errors(labels, proba)) == 0
