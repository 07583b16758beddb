"""House rules that neither import-linter nor ruff can check."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "digit_recognizer"
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_nothing_is_unpickled() -> None:
    words = ("allow_pickle=True", "torch.load(", "read_pickle(")
    texts = {path: path.read_text("utf-8") for path in MODULES}
    assert texts
    assert not [path for path, text in texts.items() if any(word in text for word in words)]


def test_names_that_say_nothing_are_not_used() -> None:
    empty = {"utils", "common", "helpers", "core", "manager", "misc"}
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in MODULES]
    assert not empty & {name for path in paths for name in path.parts}


def test_only_the_console_asks_and_writes_to_stdout() -> None:
    words = ("input(", "sys.stdout", "rich import print")
    speakers = {"console.py", "__main__.py", "launcher.py"}
    others = [path for path in MODULES if path.name not in speakers]
    assert not [path for path in others if any(word in path.read_text("utf-8") for word in words)]
