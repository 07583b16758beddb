from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.learning.recipe import (
    RECIPES,
    Recipe,
    RecipeError,
    named_recipe,
    recipe_as_dict,
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    values = {}
    for item in fields(Recipe):
        limits = item.metadata
        if limits["choices"]:
            values[item.name] = draw(st.sampled_from(limits["choices"]))
        elif item.name == "tta":
            values[item.name] = draw(st.sampled_from([1, 5]))
        elif item.type is int:
            values[item.name] = draw(st.integers(limits["at_least"], limits["at_most"]))
        else:
            values[item.name] = draw(st.floats(limits["at_least"], limits["at_most"]))
    return Recipe(**values)


@given(recipes())
def test_a_recipe_survives_the_round_trip_through_plain_values(recipe: Recipe) -> None:
    assert Recipe(**recipe_as_dict(recipe)) == recipe  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0: give a number from 1 to 1000"),
        ({"n_splits": 1}, "n_splits is 1: give a number from 2 to 100"),
        ({"lr": -1.0}, "lr is -1.0: give a number from 1e-08 to 10"),
        ({"lr": float("nan")}, "lr is nan: give a number from 1e-08 to 10"),
        ({"epochs": 2.5}, "epochs is 2.5: give a value of type int"),
        ({"epochs": True}, "epochs is True: give a value of type int"),
        ({"tta": 3}, "tta is 3: give 1 or 5"),
        (
            {"network": "vgg"},
            "network is 'vgg': give one of residual, residual-wide, mlp",
        ),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(changes: dict, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        named_recipe("default", changes)
    assert str(caught.value) == message


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'best': give one of default"):
        named_recipe("best")


def test_every_named_recipe_uses_a_network_that_exists() -> None:
    from digit_recognizer.learning.models import NETWORKS
    from digit_recognizer.learning.recipe import NETWORK_NAMES

    assert set(NETWORK_NAMES) == set(NETWORKS)
    assert all(recipe.network in NETWORKS for recipe in RECIPES.values())
