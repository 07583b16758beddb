"""Options that several commands share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from digit_recognizer.errors import UsageError
from digit_recognizer.training.recipe import RECIPES, Recipe, named_recipe


def default_folder(name: str) -> Path:
    """Return the folder `name` of the checkout around the current folder, else of the latter.

    DIGIT_RECOGNIZER_<NAME> names another one.
    """
    if given := os.environ.get(f"DIGIT_RECOGNIZER_{name.upper()}"):
        return Path(os.path.expanduser(given))  # noqa: PTH111
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder was deleted: change to another") from None
    module = Path("src", "digit_recognizer", "cli.py")
    places = (place for place in (here, *here.parents) if (place / module).is_file())
    return next(places, here) / name


def expanded(type_: Any, tokens: Sequence[Token]) -> Path:
    """Convert to a path, expanding a ~ that make or the shell left."""
    return Path(os.path.expanduser(tokens[0].value))  # noqa: PTH111 (Path's own fails for ~nobody)


def whole_number(type_: Any, tokens: Sequence[Token]) -> int:
    """Convert digits to an int; cyclopts itself would round 2.7 to 3."""
    text = tokens[0].value
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


UserPath = Annotated[Path, Parameter(converter=expanded)]
Positive = Annotated[int, Parameter(converter=whole_number, validator=Number(gte=1))]
NonNegative = Annotated[int, Parameter(converter=whole_number, validator=Number(gte=0))]
Flag = Annotated[bool, Parameter(negative="")]

DatasetName = Annotated[str | None, Parameter(help="the dataset's folder under the data folder")]
DeviceName = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:N or mps")]
RecipeName = Annotated[str, Parameter(help=f"one of {', '.join(RECIPES)}, or a TOML file")]
Workers = Annotated[
    Positive | None,
    Parameter(help="members at a time; else one for each GPU or core (of the cluster, with ray)"),
]
NewRun = Annotated[str | None, Parameter(help="the run's name; else made from dataset and recipe")]
InferenceRunName = Annotated[
    str | None,
    Parameter(help="the run's name; else the best one: a good finished run, or pretrained"),
]
FinishedRun = Annotated[str | None, Parameter(help="the run's name; else the latest finished run")]


@Parameter(name="*")
@dataclass(frozen=True)
class Folders:
    """The folders of datasets and runs."""

    data_dir: Annotated[
        UserPath, Parameter(help="the folder of datasets (environment: DIGIT_RECOGNIZER_DATA)")
    ] = field(default_factory=lambda: default_folder("data"))
    submissions_dir: Annotated[
        UserPath, Parameter(help="the folder of runs (environment: DIGIT_RECOGNIZER_SUBMISSIONS)")
    ] = field(default_factory=lambda: default_folder("submissions"))


@Parameter(name="*")
@dataclass(frozen=True)
class Execution:
    """The devices that train members, and how many concurrently; not part of a recipe."""

    device: DeviceName = "auto"
    workers: Workers = None
    backend: Annotated[
        Literal["processes", "ray"],
        Parameter(help="what trains the members: processes of this machine, or a Ray cluster"),
    ] = "processes"


def _setting(item: Any) -> tuple[str, Any, None]:
    """Turn a field of the recipe into a field of `Settings`."""
    text, choices, limits = (item.metadata[key] for key in ("help", "choices", "limits"))
    if choices:
        text += f"; one of {', '.join(choices)}"
    elif limits:
        text += f"; {limits[0]:.10g} to {limits[1]:.10g}"
    parameter = Parameter(
        help=f"{text} (default: {item.default})",
        show_default=False,
        group="Settings (defaults of the default recipe)",
        converter=whole_number if item.type is int else None,
    )
    return item.name, Annotated[item.type | None, parameter], None


_SETTINGS = [_setting(item) for item in fields(Recipe) if item.metadata["help"]]


@Parameter(name="*")
class Settings(make_dataclass("_Settings", _SETTINGS, frozen=True)):  # type: ignore[misc]
    """Changes to a recipe's settings; None keeps the recipe's value."""


def chosen_recipe(name: str, settings: Settings) -> Recipe:
    """Return the recipe called `name`, or of a TOML file, with the settings that were given."""
    return named_recipe(name, {key: v for key, v in vars(settings).items() if v is not None})
