"""The recipe: every setting that decides what a run computes, and the named recipes."""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any

NETWORK_NAMES = ("residual", "residual-wide", "mlp")


class RecipeError(ValueError):
    """A setting that is unknown, of the wrong type or out of range."""


def setting(
    default: Any,
    meaning: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A field of the recipe: its default, what it means and which values it may take."""
    limits = {"at_least": at_least, "at_most": at_most, "choices": choices}
    return field(default=default, metadata={"help": meaning, **limits})


@dataclass(frozen=True)
class Recipe:
    """What a run computes. Where and how fast (device, workers) is not part of it.

    Raises
    ------
    RecipeError
        If a setting is out of its range.
    """

    # fmt: off
    network: str = setting("residual", "network, from models.py", choices=NETWORK_NAMES)
    n_splits: int = setting(6, "number of folds", 2, 100)
    n_seeds: int = setting(1, "networks trained per fold, each from its own seed", 1, 100)
    seed: int = setting(0, "seed of initial weights, order and augmentation", 0, 2**32 - 1)
    split_seed: int = setting(0, "seed of the fold split, apart so that rows stay comparable", 0, 2**32 - 1)
    epochs: int = setting(12, "passes over the training rows of a fold", 1, 1000)
    batch_size: int = setting(128, "images per optimizer step", 2, 8192)
    lr: float = setting(3e-3, "peak learning rate of the one-cycle schedule", 1e-8, 10)
    weight_decay: float = setting(0.01, "AdamW's decoupled weight decay", 0, 10)
    label_smoothing: float = setting(0.02, "share of a label given to all classes alike", 0, 0.9)
    ema_decay: float = setting(0.998, "decay of the averaged weights, per step", 0, 0.99999)
    rotation: float = setting(10.0, "largest rotation, degrees", 0, 180)
    zoom: float = setting(0.1, "largest zoom in or out, share of the size", 0, 0.9)
    shift: float = setting(2.0, "largest shift along each axis, pixels", 0, 14)
    shear: float = setting(8.0, "largest shear along each axis, degrees", 0, 60)
    elastic: float = setting(0.25, "elastic distortion, root mean square along each axis, pixels", 0, 10)
    group_size: int = setting(16, "images of a shuffled epoch that share one augmentation draw", 1, 4096)
    tta: int = setting(5, "views averaged at prediction: 1 is the image itself, 5 adds four shifts of one pixel", 1, 5)
    # fmt: on

    def __post_init__(self) -> None:
        for item in fields(self):
            check_setting(item, getattr(self, item.name))
        if self.tta not in (1, 5):
            raise RecipeError(f"tta is {self.tta}: give 1 or 5")


def check_setting(item: Field[Any], value: Any) -> None:
    """Raise RecipeError, naming setting, value and remedy, if `value` does not fit `item`."""
    limits = item.metadata
    kind: Any = item.type
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or isinstance(value, bool):
        raise RecipeError(f"{item.name} is {value!r}: give a value of type {kind.__name__}")
    if limits["choices"] and value not in limits["choices"]:
        raise RecipeError(f"{item.name} is {value!r}: give one of {', '.join(limits['choices'])}")
    if limits["at_least"] is not None and not limits["at_least"] <= value <= limits["at_most"]:
        allowed = f"from {limits['at_least']:g} to {limits['at_most']:g}"
        raise RecipeError(f"{item.name} is {value}: give a number {allowed}")


RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    "quick": Recipe(n_splits=4, epochs=3, ema_decay=0.99),
}


def named_recipe(name: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """The recipe called `name`, with the settings of `changes` in place of its own.

    Raises
    ------
    RecipeError
        If there is no such recipe or setting, or a value is out of range.
    """
    if name not in RECIPES:
        raise RecipeError(f"no recipe is called {name!r}: give one of {', '.join(RECIPES)}")
    try:
        return replace(RECIPES[name], **(changes or {}))  # type: ignore[arg-type]
    except TypeError as error:
        raise RecipeError(f"unknown setting: {error}") from None


def recipe_as_dict(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain JSON values; `Recipe(**...)` turns it back."""
    return asdict(recipe)
