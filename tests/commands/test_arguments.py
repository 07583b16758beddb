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
    ["blend", "--runs", "one two", "--run", "both"],
    ["report", "--run", "none"],
    ["cv", "--run", "none"],
    ["submit", "--file", "none.csv"],
    ["submit", "--run", "none"],
    ["download", "--source", "none"],
]
CALL = """
import json, sys
from digit_recognizer.cli import main
codes = [main(words) for words in json.loads(sys.argv[1])]
heavy = sorted({"torch", "pandas", "sklearn", "albumentations", "kaggle"} & set(sys.modules))
print(json.dumps([codes, heavy]))
"""


def test_help_cv_and_wrong_arguments_do_without_heavy_imports(desk: Desk) -> None:
    lines = [[command, *desk.folders, *words] for command, *words in [["cv"], *WRONG]]
    done = subprocess.run(
        [sys.executable, "-c", CALL, json.dumps([*HELP, *lines])],
        capture_output=True,
        text=True,
        check=True,
    )
    codes, heavy = json.loads(done.stdout.splitlines()[-1])
    assert codes == [*[0] * len(HELP), 0, 1, 2, *[1] * 8]
    assert done.stderr.count("\n") == done.stderr.count("error: ") == len(WRONG), done.stderr
    assert heavy == []
