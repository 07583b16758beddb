"""Help, the CV report and wrong arguments need none of the packages that take long to import."""

import json
import subprocess
import sys

from support.desk import Desk

from digit_recognizer.cli import COMMANDS

HELP = [["--help"], *([name, "--help"] for name in COMMANDS)]
WRONG = [
    ["train", "--data", "none"],
    ["train", "--recipe", "none"],
    ["train", "--run", "my run!"],
    ["compare", "--data", "none"],
    ["bench", "--data", "none"],
    ["coverage", "--runs", "one"],
    ["blend", "--runs", "one two", "--run", "both"],
    ["report", "--run", "none"],
    ["cv", "--run", "none"],
    ["predict", "none.png"],
    ["predict", "none.png", "--run", "none"],
    ["play", "--run", "none"],
    ["submit", "--file", "none.csv"],
    ["submit", "--run", "none"],
    ["download", "--source", "none"],
]
CALL = """
import json, sys
from digit_recognizer.cli import main
codes = [main(words) for words in json.loads(sys.argv[1])]
heavy = {"numpy", "torch", "pandas", "sklearn", "albumentations", "kaggle"}
print(json.dumps([codes, sorted(heavy & set(sys.modules))]))
"""


def call_all(lines: list[list[str]]) -> tuple[list[int], list[str], str]:
    """Call the program in one process: exit codes, heavy packages that it imported, stderr."""
    words = [sys.executable, "-c", CALL, json.dumps(lines)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return *json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_help_does_without_heavy_imports() -> None:
    assert call_all(HELP) == ([0] * len(HELP), [], "")


def test_cv_and_wrong_arguments_do_without_heavy_imports_but_numpy(desk: Desk) -> None:
    lines = [[command, *desk.folders, *words] for command, *words in [["cv"], *WRONG]]
    codes, heavy, errors = call_all(lines)
    assert codes == [0, 1, 2, *[1] * 13]
    assert errors.count("\n") == errors.count("error: ") == len(WRONG), errors
    assert heavy == ["numpy"]
