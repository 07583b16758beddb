"""The package as a wheel, installed where there is no checkout."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
import torch

from digit_recognizer import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*words: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DIGIT_RECOGNIZER_")}
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(place: Path) -> Path:
    """Build the wheel from a copy of the sources, without the network."""
    copy = place / "copy"
    shutil.copytree(
        ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(place)!r})"
    run(sys.executable, "-W", "ignore", "-c", build, cwd=copy)
    (wheel,) = place.glob("*.whl")
    return wheel


def test_every_file_of_the_package_is_in_the_wheel(tmp_path: Path) -> None:
    package = ROOT / "src" / "digit_recognizer"
    ours = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = set(zipfile.ZipFile(build_wheel(tmp_path)).namelist())
    assert ours - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - ours == set()


OPTIONAL = ("extras/notebook/", "training/ray_backend.py")  # the users of the extras' packages


def names_of(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


def test_every_import_is_a_declared_dependency() -> None:
    always = names_of(PROJECT["dependencies"])
    extras = names_of(chain(*PROJECT["optional-dependencies"].values()))
    providers = packages_distributions() | {"ray": ["ray"]}
    package = ROOT / "src" / "digit_recognizer"
    for path in package.rglob("*.py"):
        is_optional = path.relative_to(package).as_posix().startswith(OPTIONAL)
        declared = always | extras if is_optional else always
        for module in imported_modules(path) - {"digit_recognizer", *sys.stdlib_module_names}:
            names = {name.lower() for name in providers[module]}
            assert names & declared, f"{path}: {module} is not declared"


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.slow
def test_installed_from_its_wheel_it_trains_on_the_sample_from_an_empty_folder(
    tmp_path: Path,
) -> None:
    wheel = build_wheel(tmp_path)
    run(sys.executable, "-m", "venv", "env", cwd=tmp_path)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    programs = tmp_path / "env" / "bin"
    run(programs / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (site / "others.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    installed = files_in(tmp_path / "env")

    here = tmp_path / "empty"
    here.mkdir()
    program = programs / "digit-recognizer"
    assert run(program, "--version", cwd=here) == f"{__version__}\n"
    assert "no run yet: 'digit-recognizer train' makes one" in run(program, "runs", cwd=here)
    run(program, "train", "--epochs", "1", "--n-splits", "2", cwd=here)
    assert sorted(path.name for path in here.iterdir()) == ["data", "submissions"]
    (result,) = here.glob("submissions/*/submission.csv")
    assert len(result.read_text().splitlines()) == 361
    assert (result.parent / "report.html").is_file()
    assert files_in(tmp_path / "env") == installed


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


WITHOUT_POSIX = """\
import os, signal, sys
for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None
for owner, names in (
    (os, ("fork", "getuid", "killpg", "sched_getaffinity", "setsid")),
    (signal, ("SIGHUP", "alarm", "pause", "setitimer")),  # multiprocessing needs SIGKILL here
):
    for name in names:
        if hasattr(owner, name):  # macOS lacks one of them itself
            delattr(owner, name)
"""


@pytest.mark.slow
def test_nothing_needs_what_only_posix_has(tmp_path: Path) -> None:
    # Windows itself is not at hand: its Python lacks these, in this process and in the workers.
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_POSIX)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "cp1252"}

    def call(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "digit_recognizer", *words]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, encoding="cp1252", env=environment
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        assert "Error in sitecustomize" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done.stdout

    call("train", "--epochs", "1", "--n-splits", "2")
    assert list(tmp_path.glob("submissions/*/report.html"))
    assert call("predict", "--file", "data/sample/test.csv")
    assert "CV accuracy" in call("cv")
    assert "? Python" in call("doctor", "--device", "cpu", code=1)
    call("report")
    call("scores")
    call("submit", "--yes", code=1)  # the sample may not be
