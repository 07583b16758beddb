"""The house rules that a machine can check."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "digit_recognizer"
MODULES = sorted(PACKAGE.rglob("*.py"))
# What the modules of a layer may import from the package, besides their own layer.
ALLOWED = {
    "learning": set(),
    "storage": set(),
    "remote": {"storage"},
    "pages": {"learning", "storage"},
    "stages": {"learning", "storage", "remote", "pages", "environment"},
    "commands": {"stages", "learning", "storage", "remote", "pages", "display"},
    "notebook": {"stages", "pages", "learning", "storage"},
    "on_kaggle": {"stages", "learning", "storage"},
    "environment": {"learning", "storage"},
    "arguments": {"learning"},
    "display": {"learning"},
    "cli": {"commands", "learning", "storage", "remote", "arguments"},
    "__main__": {"cli"},
    "__init__": set(),
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    inside = {name.split(".")[1] for name in imported(path) if name.startswith("digit_recognizer.")}
    own = set() if layer(path) == "stages" else {layer(path)}
    assert inside <= ALLOWED[layer(path)] | own


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_kaggle_is_imported_in_remote_only(path: Path) -> None:
    if layer(path) != "remote":
        assert not {"kaggle", "kagglesdk"} & {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_screen_prints_and_asks_and_nothing_unpickles(path: Path) -> None:
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not {"print", "input"} & calls or path == PACKAGE / "commands" / "screen.py"
    assert not {"pickle", "dill", "joblib"} & {name.split(".")[0] for name in imported(path)}
    assert "allow_pickle=True" not in path.read_text()


def test_names_that_say_nothing_are_not_used() -> None:
    empty = {"utils", "common", "helpers", "core", "manager", "misc"}
    assert not empty & {path.stem for path in MODULES}
