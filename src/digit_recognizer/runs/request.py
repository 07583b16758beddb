"""The request of a run: the content of ``recipe.json``."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from digit_recognizer.training.members import Member, all_members
from digit_recognizer.training.recipe import RECIPES, Recipe


def are_several(names: Sequence[str]) -> bool:
    """Return whether there are two or more names, all different."""
    return len(set(names)) == len(names) >= 2


@dataclass(frozen=True)
class Request:
    """A recipe on a dataset; or, of a blend, the runs that are averaged."""

    dataset: str  # its folder under the data folder
    recipe_name: str  # of the recipe or TOML file that `recipe` is based on
    recipe: Recipe | None  # None for a blend
    blend_of: tuple[str, ...] = ()  # runs that a blend averages; empty for an ordinary run

    @property
    def members(self) -> list[Member]:
        """Every member of an ordinary run, seed by seed; none of a blend."""
        return all_members(self.recipe) if self.recipe else []

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's settings, none of a blend; without the content of a network's file."""
        settings = asdict(self.recipe) if self.recipe else {}
        settings.pop("network_source", None)
        return settings

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that differ from those of the named recipe, else from the default's."""
        named = asdict(RECIPES.get(self.recipe_name, RECIPES["default"]))
        return {key: value for key, value in self.settings.items() if named[key] != value}

    @property
    def run_name(self) -> str:
        """``<dataset>-<recipe>``, with a short hash of the settings that were changed."""
        name = f"{self.dataset}-{self.recipe_name.removesuffix('.toml')}"
        if self.recipe is None or not self.changed:
            return name
        changed = json.dumps(self.changed, sort_keys=True) + self.recipe.network_source
        return f"{name}-{hashlib.sha256(changed.encode()).hexdigest()[:6]}"

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``recipe.json``."""
        named = {"dataset": self.dataset, "recipe": self.recipe_name}
        if self.recipe is None:
            return {**named, "blend_of": list(self.blend_of)}
        source = self.recipe.network_source
        return {**named, **self.settings, **({"network_source": source} if source else {})}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Request":
        """Read the content of ``recipe.json``; a setting that it lacks has its default.

        KeyError, TypeError or RecipeError: it is not a request, or has an unknown setting.
        """
        settings = dict(content)
        dataset, recipe_name = settings.pop("dataset"), settings.pop("recipe")
        parts = tuple(settings.get("blend_of", ()))
        for name in (dataset, recipe_name, *parts):
            if not isinstance(name, str) or not name.isprintable():
                raise TypeError("dataset, recipe and blend_of are names")
        if "blend_of" not in settings:
            return cls(dataset, recipe_name, Recipe(**settings))
        if not are_several(parts):
            raise TypeError("blend_of does not name two or more different runs")
        return cls(dataset, recipe_name, None, parts)
