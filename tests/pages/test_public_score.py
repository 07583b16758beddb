"""What is said of a public score."""

import pytest

from digit_recognizer.pages.public_score import place, suspicion

EXPECTED = {"low": 0.994004, "middle": 0.995, "high": 0.995996}


@pytest.mark.parametrize(
    ("score", "where"),
    [
        (0.99399, "below"),
        (0.99400, "inside"),  # may have been 0.994004
        (0.99500, "inside"),
        (0.99600, "inside"),  # may have been 0.995996
        (0.99601, "above"),
    ],
)
def test_a_score_is_inside_where_it_may_have_been_before_it_was_rounded(
    score: float, where: str
) -> None:
    assert place(score, EXPECTED) == where


def test_only_a_score_that_the_labels_do_not_allow_is_suspicious() -> None:
    assert suspicion(0.99870) == ""
    assert suspicion(0.99871).startswith("a public score above 0.9987 is better than the labels")
