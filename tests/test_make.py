"""The Makefile as a user calls it, with folders of the test's own."""

import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def shown(*words: str, **environment: str) -> str:
    """The command that make would run."""
    printed = make("-n", "-o", "setup", *words, **environment).stdout
    return printed.strip().splitlines()[-1]


def test_make_alone_prints_every_target() -> None:
    printed = make().stdout
    assert {line.split()[1] for line in printed.splitlines()} == TARGETS


def test_values_with_spaces_and_quotes_survive() -> None:
    line = shown("submit", 'MESSAGE=it\'s a "best" $$5; rm x', "RUN=a b")
    assert "--message 'it'\\''s a \"best\" $5; rm x'" in line.replace("$$", "$")
    assert "--run 'a b'" in line


def test_a_foreign_exported_variable_does_not_hijack_a_run() -> None:
    assert "--data" not in shown("train", DATA="/elsewhere", RUN="other", ARGS="--epochs 1")
    assert "--epochs" not in shown("train", ARGS="--epochs 1")
    assert "--data 'mine'" in shown("train", "DATA=mine", DATA="/elsewhere")


def test_switches_are_on_only_for_one_and_yes() -> None:
    assert "--yes" in shown("submit", "YES=1")
    assert "--yes" not in shown("submit", "YES=0")
    assert "--force" not in shown("submit", "YES=1")


def test_a_python_that_is_no_good_is_one_clear_line(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.lock"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    refused = subprocess.run(
        ["make", "setup", "PYTHON=python-that-is-not-there"],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert "is not Python 3.11 to 3.14: give PYTHON=" in refused.stderr
    assert refused.stderr.count("\n") == 2  # ours, and make's own


def test_setup_does_nothing_when_it_is_up_to_date() -> None:
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("the tests do not run from .venv here")
    assert "pip install" not in make("-n", "setup").stdout


def test_without_data_and_credentials_make_train_trains_on_the_sample(tmp_path: Path) -> None:
    folders = f"--data-dir '{tmp_path}/my data' --submissions-dir '{tmp_path}/runs'"
    trained = make("train", f"ARGS={folders} --epochs 2 --n-splits 2")
    assert trained.returncode == 0, trained.stderr
    note = "the result is not one to submit"
    assert note in trained.stdout.splitlines()[0]
    assert note in trained.stdout.splitlines()[-1]
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"sample-default-[0-9a-f]{6}", run_dir.name)
    assert len(pd.read_csv(run_dir / "submission.csv")) == 360
    refused = make("submit", f"ARGS={folders}", "YES=1")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "error: " in refused.stderr
    printed = make("cv", f"ARGS={folders}")
    assert printed.returncode == 0
    assert "out-of-fold accuracy" in printed.stdout


def test_every_target_is_in_the_readme_and_every_command_of_the_readme_is_a_target() -> None:
    used = set(re.findall(r"\bmake ([a-z][a-z-]*)", README))
    assert TARGETS - {"help"} <= used
    assert used <= TARGETS | {"sure"}


def test_every_variable_in_the_readme_is_one_of_the_makefile() -> None:
    lines = [line for line in README.splitlines() if line.lstrip("$ ").startswith("make ")]
    for line in lines:
        for name in re.findall(r"\b([A-Z_]+)=", line):
            assert re.search(rf"\b{name}\b", MAKEFILE), f"{name} in: {line}"


def test_pictures_of_the_readme_exist() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
