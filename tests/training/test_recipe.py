from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from support.small import noise_rows

from digit_recognizer.data.files import write_json
from digit_recognizer.errors import RecipeError, RunError
from digit_recognizer.runs.request import Request
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import Device
from digit_recognizer.training.members import Member
from digit_recognizer.training.models import NETWORKS, network_cost
from digit_recognizer.training.recipe import NETWORK_NAMES, RECIPES, Recipe, named_recipe
from digit_recognizer.training.trainer import fit_member

NAMES = {"dataset": "sample", "recipe": "default"}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_survives_the_round_trip_through_plain_values(recipe: Recipe) -> None:
    assert Request.from_dict({**NAMES, **asdict(recipe)}).recipe == recipe


def test_a_run_with_a_setting_of_another_version_is_refused_by_its_name(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_json(run.recipe_path, {**NAMES, **asdict(Recipe()), "sharpness": 3})
    with pytest.raises(RunError, match=r"is not a run's recipe .*'sharpness'"):
        run.request()


def test_folds_says_which_members_are_trained() -> None:
    choices = ("all", "0", "0,2")
    trained = [Recipe(n_splits=3, folds=folds).trained_folds for folds in choices]
    assert trained == [(0, 1, 2), (0,), (0, 2)]


@pytest.mark.parametrize("folds", ["", "3", "1,0", "0,0", "0, 1", "-1", "00", "some"])
def test_a_choice_of_folds_has_one_spelling_only(folds: str) -> None:
    with pytest.raises(RecipeError, match=r"folds is .*: give all, or numbers from 0 to 2"):
        Recipe(n_splits=3, folds=folds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0: give a number from 1 to 1000"),
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


def test_the_networks_that_a_recipe_may_name_are_those_that_exist() -> None:
    assert set(NETWORKS) == set(NETWORK_NAMES)


def test_a_recipe_of_ones_own_is_a_toml_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "quick"\nrotation = 12.0\nepochs = 9\n')
    recipe = named_recipe(str(file), {"epochs": 2})
    assert recipe == replace(RECIPES["quick"], rotation=12.0, epochs=2)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert named_recipe("~/mine.toml", {"epochs": 2}) == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = ", "is not TOML"),
        ("epoch = 3", "mine.toml: there is no setting called 'epoch'"),
        ('recipe = "best"', "no recipe is called 'best': in a TOML file, give one of default"),
        (f"lr = {'9' * 400}", "lr is 999.*: give a number from 1e-08 to 10"),
        (f"lr = {'9' * 5000}", "is not TOML: .*digits"),
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


def test_a_network_of_ones_own_that_is_wrong_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\nwrong = nn.Flatten\n")
    message = r"network mine.py:wrong: .*returns \[2, 784\] for two images, .*fix mine.py"
    with pytest.raises(RecipeError, match=message):
        network_cost(named_recipe("default", {"network": f"{file}:wrong"}))
    with pytest.raises(RecipeError, match=r"add its function, .*mine\.py:FUNCTION$"):
        named_recipe("default", {"network": str(file)})


# A dataclass with deferred annotations, a kept activation, and a kernel without a gradient.
UNUSUAL = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    width: int = 4

class Network(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.first = nn.Conv2d(1, sizes.width, 3)
        self.frozen = nn.Conv2d(sizes.width, sizes.width, 3).requires_grad_(False)
        self.unused = nn.Conv2d(sizes.width, sizes.width, 3)
        self.norm = nn.InstanceNorm2d(sizes.width, track_running_stats=True)
        self.last = nn.Linear(sizes.width, 10)

    def forward(self, x):
        self.features = self.norm(self.frozen(self.first(x)))
        return self.last(self.features.mean((2, 3)))

def build():
    return Network(Sizes())
"""


def test_an_unusual_network_of_ones_own_is_trained_with_its_own_buffers(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(UNUSUAL)
    settings = {"network": f"{tmp_path / 'mine.py'}:build", "n_splits": 2, "epochs": 1}
    recipe = named_recipe("default", settings)
    trained = fit_member(recipe, noise_rows(40), Member(0, 0), Device("cpu", "fp32"))
    assert np.abs(trained.weights["norm.running_mean"]).max() > 0
