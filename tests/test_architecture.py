"""House rules that neither import-linter nor ruff can check."""

from pathlib import Path

MODULES = sorted((Path(__file__).parents[1] / "src" / "digit_recognizer").rglob("*.py"))


def test_no_array_is_unpickled() -> None:
    assert not [path for path in MODULES if "allow_pickle=True" in path.read_text("utf-8")]


def test_names_that_say_nothing_are_not_used() -> None:
    empty = {"utils", "common", "helpers", "core", "manager", "misc"}
    assert not empty & {path.stem for path in MODULES}
