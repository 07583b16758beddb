"""The Makefile as a user calls it, with folders of the test's own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support.runner import MAKE_VARIABLES, MAKEFILE

from digit_recognizer.cli import COMMANDS, main
from digit_recognizer.commands.console import OPTION

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
READY = ("-o", ".venv/.ready")  # the environment that runs these tests, whatever its age


def make(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def shown(*words: str, **environment: str) -> str:
    """The command that make would run."""
    printed = make("-n", "-o", "setup", *words, **environment).stdout
    return printed.strip().splitlines()[-1]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the Makefile builds .venv from."""
    for name in ("Makefile", "pyproject.toml", "constraints.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def arrived(tmp_path: Path) -> Callable[..., tuple[list[str], str, str]]:
    """Run make with a program that shows its arguments, its MESSAGE and make's stderr."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.environ.get('MESSAGE', 'none')]))\n"
    )

    def run(*words: str, **environment: str) -> tuple[list[str], str, str]:
        started = f"RUN_PYTHON='{sys.executable}' '{program}'"
        done = make(*READY, started, *words, **environment)
        arguments, message = json.loads(done.stdout)
        return arguments, message, done.stderr

    return run


def test_values_arrive_as_they_were_given_and_are_not_expanded(
    arrived: Callable[..., tuple[list[str], str, str]], tmp_path: Path
) -> None:
    message = f"a $(shell touch '{tmp_path}/pwned') $$ `b` $HOME \\ \"c\"  "
    arguments, exported, _ = arrived("submit", f"MESSAGE={message}", "RUN=a ")
    assert arguments == ["submit", "--run", "a ", "--message", message]
    assert exported == "none"
    assert not (tmp_path / "pwned").exists()
    arguments, _, _ = arrived("submit", "ARGS=--message '  a '")  # make strips leading spaces
    assert arguments == ["submit", "--message", "  a "]


def test_a_value_of_two_lines_is_refused() -> None:
    refused = make(*READY, "submit", "MESSAGE=one\ntwo")
    assert refused.returncode == 2
    assert "MESSAGE holds a line break" in refused.stderr


def test_an_unknown_variable_is_an_error_that_names_the_known_ones() -> None:
    refused = make("train", "RECIPIE=quick", "DATA=sample")
    assert refused.returncode == 2
    assert refused.stdout == ""
    known = refused.stderr.partition("unknown variable RECIPIE: there are ")[2]
    assert {"DATA", "RECIPE", "RUN"} <= set(known.split())


def test_a_variable_in_the_environment_is_an_error(
    arrived: Callable[..., tuple[list[str], str, str]],
) -> None:
    refused = make(*READY, "train", RECIPE="quick")
    assert (refused.returncode, refused.stdout) == (2, "")
    advice = "does not count: put it after make, or unset it"
    assert f"RECIPE is in the environment, where it {advice}" in refused.stderr
    assert arrived("download", RECIPE="quick")[0] == ["download"]  # which has no use for it
    assert arrived("train", "DATA=mine", DATA="/elsewhere")[0] == ["train", "--data", "mine"]
    for name in ("TORCH", "PYTHON"):
        refused = make("-n", "-W", "constraints.lock", "setup", **{name: "cpu"})
        assert f"{name} is in the environment" in refused.stderr


def test_with_uv_or_pip_the_cpu_build_needs_no_index_of_ones_own(clone: Path) -> None:
    tools = clone / "tools"
    tools.mkdir()
    for tool in ("sh", "awk", "make"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)

    def steps(*words: str) -> str:
        done = make("-n", "setup", *words, cwd=clone, PATH=str(tools))
        return done.stdout + done.stderr

    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in steps("TORCH=cpu")
    assert "download.pytorch.org" not in steps()
    assert "TORCH may only be cpu" in steps("TORCH=cuda")
    assert "import sys, venv, ensurepip;" in steps("PYTHON=python3")
    (tools / "uv").write_text("#!/bin/sh\n")
    (tools / "uv").chmod(0o755)
    assert "uv pip install --python .venv/bin/python --torch-backend cpu" in steps("TORCH=cpu")
    assert "import sys;" in steps("PYTHON=python3")  # uv needs no venv module
    # uv would take a name for a version, and perhaps another Python than the one on the PATH.
    assert "--python \"$(command -v 'python3')\" .venv" in steps("PYTHON=python3")


def test_another_python_makes_the_environment_anew(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    for python, version in ((".venv/bin/python", 3.11), ("same", 3.11), ("other", 3.12)):
        (clone / python).write_text(f"#!/bin/sh\necho {version}\n")
        (clone / python).chmod(0o755)
    (clone / ".venv" / ".ready").touch()

    def steps(*words: str) -> str:
        return make("-n", "setup", *words, cwd=clone).stdout

    assert "--clear" not in steps() + steps("PYTHON=./same")
    assert "--clear" in steps("PYTHON=./other")
    (clone / ".venv" / "bin" / "python").unlink()
    assert "give PYTHON=" in steps("PYTHON=./gone")


def test_make_alone_prints_every_target() -> None:
    printed = make().stdout
    assert {line.split()[1] for line in printed.splitlines()} == TARGETS


def test_switches_are_on_only_for_one_yes_and_true() -> None:
    for value, is_on in {"1": True, "yes": True, "true": True, "0": False, "": False}.items():
        assert ("--yes" in shown("submit", f"YES={value}")) is is_on
    for command in ("submit", "kernel"):
        assert "--force" in shown(command, "FORCE=1")
        assert "--force" not in shown(command, "FORCE=0")
    assert "--force" not in shown("submit", "YES=1")


def test_every_flag_that_make_passes_is_one_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = re.findall(r"^\t@\$\(PROGRAM\) (\w+)(.*)", MAKEFILE, re.MULTILINE)
    assert {command for command, _ in lines} == set(COMMANDS)
    for command, words in lines:
        main([command, "--help"])
        known = capsys.readouterr().out.split()
        for variable, flag in re.findall(r"\(call (?:given|switch),(\w+),(.*?)\)", words):
            assert flag == f"--{variable.lower().replace('_', '-')}"
            assert flag in known, f"{command} {flag}"


def test_clean_removes_caches_and_nothing_else(clone: Path) -> None:
    kept = {"data/mine/train.csv", "submissions/run/cv.json", "src/code.py", ".venv/.ready"}
    caches = {"data/mine/.arrays-1.npz", ".mypy_cache/a", "build/a", "tests/__pycache__/a.pyc"}
    files = [path.name for path in clone.iterdir()]
    for name in kept | caches:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    assert make("clean", cwd=clone).returncode == 0
    left = {str(path.relative_to(clone)) for path in clone.rglob("*") if path.is_file()}
    assert left == kept.union(files)


def test_a_python_that_is_no_good_is_one_clear_line(clone: Path) -> None:
    refused = make("setup", "PYTHON=python-that-is-not-there", cwd=clone)
    assert refused.returncode == 2
    assert "is not Python 3.11 to 3.14: give PYTHON=" in refused.stderr
    assert refused.stderr.count("\n") == 2  # ours, and make's own


def test_setup_does_nothing_when_it_is_up_to_date() -> None:
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("the tests do not run from .venv here")
    made = make("-n", "-o", "pyproject.toml", "-o", "constraints.lock", "setup")
    assert (made.returncode, "pip install" in made.stdout) == (0, False)


def test_without_data_and_credentials_make_train_trains_on_the_sample(tmp_path: Path) -> None:
    folders = f"--data-dir '{tmp_path}/my data' --submissions-dir '{tmp_path}/runs'"
    ready = (*READY, f"RUN_PYTHON='{sys.executable}' -m digit_recognizer")
    trained = make(*ready, "train", f"ARGS={folders} --network mlp --epochs 1 --n-splits 2")
    assert trained.returncode == 0, trained.stderr
    note = "the result is not one to submit"
    assert note in trained.stdout.splitlines()[0]
    assert trained.stdout.splitlines()[-1].split()[0] == "next"
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"sample-default-[0-9a-f]{6}", run_dir.name)
    assert len(pd.read_csv(run_dir / "submission.csv")) == 360
    refused = make(*ready, "submit", f"ARGS={folders}", "YES=1")
    assert refused.returncode == 2
    assert "error: " in refused.stderr
    assert "from 'sample', which may never be submitted" in refused.stderr
    printed = make(*ready, "cv", f"ARGS={folders}")
    assert printed.returncode == 0
    assert "out-of-fold accuracy" in printed.stdout


def test_every_target_is_in_the_readme_and_every_command_of_the_readme_is_a_target() -> None:
    used = set(re.findall(r"\bmake ([a-z][a-z-]*)", README))
    assert TARGETS - {"help"} <= used
    assert used <= TARGETS


def test_every_variable_in_the_readme_is_one_of_the_makefile() -> None:
    used = set(re.findall(r"\b([A-Z_]{3,})=", README))
    assert {"RUN", "YES"} <= used <= MAKE_VARIABLES


def test_messages_can_name_every_variable_without_make() -> None:
    for name in MAKE_VARIABLES - {"ARGS", "MESSAGE", "PYTHON", "RUN_PYTHON", "TORCH"}:
        assert re.match(OPTION, f"{name}=1"), name


def test_files_that_the_documentation_links_to_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "src").rglob("*.md"), *(ROOT / ".github").glob("*.md")]
    links = [
        page.parent / link
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
        if "://" not in link
    ]
    assert len(links) > 20
    assert [link for link in links if not link.exists()] == []
