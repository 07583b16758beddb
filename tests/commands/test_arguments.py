"""Wrong arguments are told before anything heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

LINES = [
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


def test_wrong_arguments_are_told_without_heavy_imports(tmp_path: Path) -> None:
    folders = [f"--data-dir={tmp_path}/data", f"--submissions-dir={tmp_path}/submissions"]
    lines = json.dumps([[command, *folders, *words] for command, *words in LINES])
    done = subprocess.run(
        [sys.executable, "-c", CALL, lines], capture_output=True, text=True, check=True
    )
    codes, heavy = json.loads(done.stdout)
    assert codes == [1, 2, *[1] * 8]
    assert done.stderr.count("\n") == done.stderr.count("error: ") == len(LINES), done.stderr
    assert heavy == []
