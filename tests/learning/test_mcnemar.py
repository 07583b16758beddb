"""McNemar's exact test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning.mcnemar import mcnemar_p

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_it_is_the_tail_of_the_coin_counted_by_hand() -> None:
    first = np.array([True] * 10 + [False] * 2 + [True] * 80)
    second = np.array([False] * 10 + [True] * 2 + [True] * 80)
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 12 + 66) / 2**12)


@given(pairs)
def test_rows_that_both_have_right_or_wrong_say_nothing(rows: list[tuple[bool, bool]]) -> None:
    first, second = np.array(rows).T
    differ = first != second
    assert mcnemar_p(first, second) == mcnemar_p(first[differ], second[differ])


@given(pairs)
def test_it_takes_no_side_and_is_a_probability(rows: list[tuple[bool, bool]]) -> None:
    first, second = np.array(rows).T
    assert mcnemar_p(first, second) == mcnemar_p(second, first)
    assert 0 < mcnemar_p(first, second) <= 1
    assert mcnemar_p(first, first) == 1
