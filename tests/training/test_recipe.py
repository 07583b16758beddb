from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.data.files import write_json
from digit_recognizer.errors import RecipeError, RunError
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.models import NETWORKS, network_cost
from digit_recognizer.training.recipe import NETWORK_NAMES, RECIPES, Recipe, named_recipe

NAMES = {"dataset": "sample", "recipe": "default"}


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    values = {}
    for item in fields(Recipe):
        limits = item.metadata
        if not limits["help"]:  # a network of one's own
            continue
        if limits["choices"]:
            values[item.name] = draw(st.sampled_from(limits["choices"]))
        elif item.name == "folds":
            values[item.name] = draw(st.sampled_from(["all", "0", "1", "0,1"]))
        elif item.name == "tta":
            values[item.name] = draw(st.sampled_from([1, 5]))
        elif item.type is int:
            values[item.name] = draw(st.integers(limits["minimum"], limits["maximum"]))
        else:
            values[item.name] = draw(st.floats(limits["minimum"], limits["maximum"]))
    return Recipe(**values)


@given(recipes())
def test_a_recipe_survives_the_round_trip_through_plain_values(recipe: Recipe) -> None:
    assert Request.from_dict({**NAMES, **asdict(recipe)}).recipe == recipe


def test_a_setting_that_a_run_lacks_has_its_default() -> None:
    asked = Recipe(n_splits=4, lr=0.002)
    settings = asdict(asked)
    for newer in ("folds", "optimizer", "beta2", "schedule", "lr_decay", "scaling", "crop"):
        del settings[newer]
    assert Request.from_dict({**NAMES, **settings}).recipe == asked


def test_a_run_with_a_setting_of_another_version_is_refused_by_its_name(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_json(run.recipe_path, {**NAMES, **asdict(Recipe()), "sharpness": 3})
    with pytest.raises(RunError, match=r"is not a run's recipe .*'sharpness'"):
        run.request()


@pytest.mark.parametrize(("folds", "trained"), [("all", (0, 1, 2)), ("0", (0,)), ("0,2", (0, 2))])
def test_folds_says_which_members_are_trained(folds: str, trained: tuple[int, ...]) -> None:
    assert Recipe(n_splits=3, folds=folds).trained_folds == trained


@pytest.mark.parametrize("folds", ["", "3", "1,0", "0,0", "0, 1", "-1", "00", "some"])
def test_a_choice_of_folds_has_one_spelling_only(folds: str) -> None:
    with pytest.raises(RecipeError, match=r"folds is .*: give all, or numbers from 0 to 2"):
        Recipe(n_splits=3, folds=folds)


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
        ({"network": "vgg"}, f"network is 'vgg': give one of {', '.join(NETWORK_NAMES)}"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(changes: dict, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        named_recipe("default", changes)
    assert str(caught.value) == message


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'best': give a TOML file or one of"):
        named_recipe("best")


def test_every_named_recipe_uses_a_network_that_exists() -> None:
    assert set(NETWORK_NAMES) == set(NETWORKS)
    assert all(recipe.network in NETWORKS for recipe in RECIPES.values())


OWN_NETWORK = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def wrong():
    return nn.Flatten()
"""


def test_a_recipe_of_ones_own_is_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "quick"\nrotation = 12.0\nepochs = 9\n')
    recipe = named_recipe(str(file), {"epochs": 2})
    assert recipe == replace(RECIPES["quick"], rotation=12.0, epochs=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = ", "is not TOML"),
        ("epoch = 3", "unknown setting: .*'epoch'"),
        ('recipe = "best"', "no recipe is called 'best'"),
        ("recipe = [1]", "no recipe is called '\\[1\\]'"),
        ("network = 3", "network is 3: give a value of type str"),
        (b"\xff", "cannot be read as text"),
        (None, "cannot be read as text .*No such file"),
    ],
)
def test_a_recipes_file_that_is_wrong_is_refused(
    tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError, match=message):
        named_recipe(str(file))


def test_a_network_of_ones_own_travels_in_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_NETWORK)
    recipe = named_recipe("default", {"network": f"{file}:linear"})
    file.unlink()
    assert Request.from_dict({**NAMES, **asdict(recipe)}).recipe == recipe
    assert recipe.network == "mine.py:linear"
    assert network_cost(recipe).parameters == 7850


@pytest.mark.parametrize(
    ("function", "message"),
    [("best", "KeyError: 'best'"), ("wrong", r"returns \[1, 784\] for an image, not logits")],
)
def test_a_network_of_ones_own_that_is_wrong_is_refused(
    tmp_path: Path, function: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_NETWORK)
    with pytest.raises(RecipeError, match=f"network mine.py:{function}: .*{message}.*mend mine.py"):
        network_cost(named_recipe("default", {"network": f"{file}:{function}"}))
