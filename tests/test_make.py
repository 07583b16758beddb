"""The Makefile as a user calls it, with folders of the test's own."""

import json
import os
import re
import shutil
import subprocess
import sys
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
    env = {**os.environ, **environment}
    return subprocess.run(["make", *words], cwd=cwd, capture_output=True, text=True, env=env)


def refusal(*words: str, cwd: Path = ROOT, **environment: str) -> str:
    """What make says where it refuses to begin."""
    refused = make(*words, cwd=cwd, **environment)
    assert (refused.returncode, refused.stdout) == (2, "")
    return refused.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the Makefile builds .venv from."""
    for name in ("Makefile", "pyproject.toml", "constraints.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def arrived(*words: str, **environment: str) -> list[str]:
    """The arguments with which make calls the program; it exports no MESSAGE to it."""
    show = 'import json, os, sys; print(json.dumps([sys.argv[1:], os.getenv("MESSAGE")]))'
    done = make(*READY, f"RUN_PYTHON='{sys.executable}' -c '{show}'", *words, **environment)
    arguments, message = json.loads(done.stdout)
    assert message is None
    return list(arguments)


def test_values_arrive_as_they_were_given_and_are_not_expanded(tmp_path: Path) -> None:
    message = f"a $(shell touch '{tmp_path}/pwned') $$ `b` $HOME \\ \"c\"  "
    arguments = arrived("submit", f"MESSAGE={message}", "RUN=a ")
    assert arguments == ["submit", "--run", "a ", "--message", message]
    assert not (tmp_path / "pwned").exists()
    arguments = arrived("submit", "ARGS=--message '  a '")  # make strips leading spaces
    assert arguments == ["submit", "--message", "  a "]


def test_a_value_of_two_lines_is_refused() -> None:
    assert "MESSAGE holds a line break" in refusal(*READY, "submit", "MESSAGE=one\ntwo")


def test_an_unknown_variable_is_an_error_that_names_the_known_ones() -> None:
    refused = refusal("train", "RECIPIE=quick", "DATA=sample")
    known = refused.partition("unknown variable RECIPIE: there are ")[2]
    assert {"DATA", "RECIPE", "RUN"} <= set(known.split())


def test_a_variable_in_the_environment_is_an_error() -> None:
    advice = "RECIPE is in the environment, where it does not count: put it after make, or unset it"
    assert advice in refusal(*READY, "train", RECIPE="quick")
    assert arrived("download", RECIPE="quick") == ["download"]  # which has no use for it
    assert arrived("train", "DATA=mine", DATA="/elsewhere") == ["train", "--data", "mine"]
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
    for value in ("1", "yes", "true"):
        assert arrived("submit", f"YES={value}") == ["submit", "--yes"]
    for value in ("0", ""):
        assert arrived("submit", f"YES={value}") == ["submit"]
    for command in ("submit", "kernel"):
        assert arrived(command, "FORCE=1") == [command, "--force"]
        assert arrived(command, "FORCE=0") == [command]


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
    refused = refusal("setup", "PYTHON=python-that-is-not-there", cwd=clone)
    assert "is not Python 3.11 to 3.14: give PYTHON=" in refused
    assert refused.count("\n") == 2  # ours, and make's own


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
    first, *_, last = trained.stdout.splitlines()
    assert "the result is not one to submit" in first
    assert last.split()[0] == "next"
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"sample-default-[0-9a-f]{6}", run_dir.name)
    assert len(pd.read_csv(run_dir / "submission.csv")) == 360
    refused = refusal(*ready, "submit", f"ARGS={folders}", "YES=1")
    assert "error: " in refused
    assert "from 'sample', which may never be submitted" in refused
    printed = make(*ready, "cv", f"ARGS={folders}")
    assert printed.returncode == 0
    assert "CV accuracy" in printed.stdout


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
