"""`make kernel`: the packed script runs for real, the client talks to a loopback Kaggle."""

import ast
import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from support.desk import REPOSITORY, SECRET, Desk, environment_of, point_to
from support.kaggle_image import COMMIT, RUN, make_interpreter, put_data, run_script
from support.kernel_loopback import KernelKaggle
from support.loopback import Reply, refusal, serve
from support.runner import make_small

from digit_recognizer.extras.kernel.archive import kernel_script
from digit_recognizer.extras.kernel.kernel import slug
from digit_recognizer.runs.environment import commit
from digit_recognizer.runs.request import Request
from digit_recognizer.training.recipe import Recipe

SETTINGS = ("--n-splits", "2", "--epochs", "2", "--batch-size", "16", "--tta", "1")
RECIPE = Recipe(n_splits=2, epochs=2, batch_size=16, tta=1)
REQUEST = Request("digit-recognizer", "default", RECIPE)
WORDS = ("--run", RUN, *SETTINGS)
NAME = f"someone/{slug(RUN, REQUEST)}"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset's folder."""
    place = tmp_path_factory.mktemp("data")
    make_small(place)
    return place / "small"


@pytest.fixture(scope="session")
def machine(
    small: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A bare machine after it ran the script: its folder, and what it said."""
    place = tmp_path_factory.mktemp("machine")
    put_data(small, place / "input" / "digit-recognizer")
    return place, run_script(make_interpreter(place / "python"), place, REQUEST)


@pytest.fixture(scope="session")
def run_zip(machine: tuple[Path, subprocess.CompletedProcess[str]]) -> bytes:
    """The zip that it made."""
    place, done = machine
    assert done.returncode == 0, done.stdout + done.stderr
    return (place / "working" / "run.zip").read_bytes()


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, run_zip: bytes, key: None) -> Iterator[KernelKaggle]:
    """A loopback Kaggle whose kernels end well."""
    with serve(KernelKaggle(outputs={"run.zip": run_zip})) as server:
        assert isinstance(server, KernelKaggle)
        point_to(monkeypatch, server.url)
        yield server


def contents(run_zip: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(run_zip)) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def ok(desk: Desk, *words: str) -> str:
    return desk.ok("kernel", *WORDS, *words)


def fail(desk: Desk, *words: str) -> str:
    return desk.fail("kernel", *WORDS, *words)


# --- the script on a machine of its own


def test_the_script_trains_with_what_kaggles_image_has(
    machine: tuple[Path, subprocess.CompletedProcess[str]], run_zip: bytes
) -> None:
    place, done = machine
    assert "package: digit_recognizer\n" in done.stdout  # in a folder of its own
    assert "fold1-seed0  epoch   2/2" in done.stdout
    assert done.stderr == ""
    assert [path.name for path in (place / "working").iterdir()] == ["run.zip"]
    assert not list(place.glob("digit-recognizer-*"))


@pytest.mark.slow
def test_the_other_input_folder_and_a_full_image_give_the_same_run(
    small: Path, run_zip: bytes, tmp_path: Path
) -> None:
    put_data(small, tmp_path / "input" / "competitions" / "digit-recognizer")
    python = make_interpreter(tmp_path / "python", ("digit_recognizer",))
    done = run_script(python, tmp_path, REQUEST)
    assert done.returncode == 0, done.stdout + done.stderr
    here = contents((tmp_path / "working" / "run.zip").read_bytes())
    there = contents(run_zip)
    assert set(here) == set(there)
    for name, content in here.items():
        if name.endswith((".safetensors", "oof.csv", "submission.csv", "recipe.json")):
            assert content == there[name], name


@pytest.mark.parametrize(
    ("absent", "line"),
    [
        ("albumentations", "lacks albumentations, without which nothing would be augmented"),
        ("torch", "lacks torch"),
        ("safetensors", "lacks safetensors"),
    ],
)
def test_a_needed_package_that_is_missing_is_one_line_and_no_run(
    absent: str, line: str, tmp_path: Path
) -> None:
    done = run_script(make_interpreter(tmp_path / "python", (absent,)), tmp_path, REQUEST)
    assert done.returncode == 1
    assert done.stderr == f"error: Kaggle's image {line}: the run was not started\n"
    assert not list((tmp_path / "working").iterdir())


def test_another_albumentations_is_not_trusted_to_augment(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path / "python")
    site = next((tmp_path / "python").glob("lib/python*/site-packages"))
    (info,) = site.glob("albumentations-*.dist-info")
    info.unlink()
    other = site / "albumentations-1.4.3.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: albumentations\nVersion: 1.4.3\n")
    done = run_script(python, tmp_path, REQUEST)
    assert done.returncode == 1
    assert "has albumentations 1.4, 2.0 is needed: the run was not started" in done.stderr


def test_data_in_neither_place_is_one_line(tmp_path: Path) -> None:
    done = run_script(make_interpreter(tmp_path / "python"), tmp_path, REQUEST)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: the competition's data is neither in ")
    assert "input/competitions/digit-recognizer: accept its rules" in line


def test_an_old_python_reads_the_script_far_enough_to_say_so() -> None:
    ast.parse(kernel_script(RUN, REQUEST, COMMIT), feature_version=(3, 7))


def test_the_script_unpacks_nothing_that_climbs_out(tmp_path: Path) -> None:
    text = kernel_script(RUN, REQUEST, COMMIT)
    evil = base64.b64encode(packed({"../out.py": b"1"})).decode()
    text = re.sub(r'PACKED = """.*?"""', f'PACKED = "{evil}"', text, flags=re.DOTALL)
    put = tmp_path / "input" / "digit-recognizer"
    put.mkdir(parents=True)
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        (put / name).touch()
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "script.py")],
        env={"DIGIT_RECOGNIZER_INPUT": str(tmp_path / "input"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == "error: the packed file '../out.py' climbs out: not unpacked\n"
    assert not list(tmp_path.rglob("out.py"))


# --- from here to Kaggle and back


def test_pushed_followed_brought_back_and_fit_for_cv_and_submit(
    desk: Desk, kernels: KernelKaggle, small: Path
) -> None:
    out = ok(desk)
    assert desk.pauses == [20.0, 20.0, 20.0]
    assert out.startswith("pushed: https://www.kaggle.com/code/someone/x\n")
    assert re.search(r"  0.0 min  queued\n  0.3 min  running\n  1.0 min  complete\n", out)
    run_dir = desk.submissions_dir / RUN
    assert f"brought back: {run_dir} (trained on " in out
    assert "note: Kaggle gave it no GPU that works: it was trained on the CPU" in out
    environment = json.loads((run_dir / "environment.json").read_text())
    assert environment["may_submit"] is True
    assert len(environment["data"]) == 3
    assert (environment["commit"], environment["dirty"]) == COMMIT

    assert RUN in desk.ok("cv", "--run", RUN)

    shutil.copy(small / "sample_submission.csv", desk.data_dir / "digit-recognizer")
    desk.submit("--run", RUN)
    assert kernels.submissions[0]["description"].startswith(f"{RUN} cv=0.")


def test_where_the_data_is_at_hand_a_run_brought_back_has_its_page(
    desk: Desk, kernels: KernelKaggle, small: Path, tmp_path: Path
) -> None:
    put_data(small, tmp_path / "Downloads")
    desk.ok("download", "--source", str(tmp_path / "Downloads"))
    out = ok(desk)
    page = desk.submissions_dir / RUN / "report.html"
    assert out.endswith(f"to look at: {page}\n")
    assert RUN in page.read_text()


def test_beside_other_data_a_run_brought_back_has_its_scores_and_a_warning(
    desk: Desk, kernels: KernelKaggle, small: Path, tmp_path: Path
) -> None:
    other = tmp_path / "Downloads"
    other.mkdir()
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        shutil.copy(small / name, other)
    header, first, second, *rows = (other / "train.csv").read_text().splitlines()
    (other / "train.csv").write_text("\n".join([header, second, first, *rows]) + "\n")
    desk.ok("download", "--source", str(other))
    *lines, warning = ok(desk).splitlines()
    assert any(line.startswith(f"run {RUN}: 2 members") for line in lines)
    assert f"submission: {desk.submissions_dir / RUN / 'submission.csv'}" in lines
    assert warning.startswith("warning: no pictures and no page: ")


def test_the_kernel_is_private_offline_on_a_t4_with_the_competition_s_data(
    desk: Desk, kernels: KernelKaggle
) -> None:
    ok(desk)
    (push,) = kernels.pushes
    text = push.pop("text")
    assert push == {
        "slug": NAME,
        "newTitle": slug(RUN, REQUEST).replace("-", " "),
        "language": "python",
        "kernelType": "script",
        "isPrivate": True,
        "enableGpu": True,
        "enableTpu": False,
        "enableInternet": False,
        "machineShape": "NvidiaTeslaT4",
        "competitionDataSources": ["digit-recognizer"],
    }
    assert text == kernel_script(RUN, REQUEST, commit())
    assert len(text) < 1_000_000
    assert 5 <= len(slug("x" * 80, REQUEST)) <= 50


def test_before_a_push_the_hours_of_gpu_that_are_left_are_said(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.gpu_quota = {"timeUsed": "9000s", "totalTimeAllowed": "108000s"}
    assert ok(desk).startswith("GPU hours left this week: 27.5 of 30\n")


def test_called_again_a_finished_run_is_left_alone_without_asking_kaggle(
    desk: Desk, kernels: KernelKaggle
) -> None:
    ok(desk)
    asked = len(kernels.steps)
    assert "is there already" in ok(desk)
    assert len(kernels.steps) == asked


def test_at_the_limit_it_stops_and_the_next_call_goes_on_without_a_second_push(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.after_push = [{"status": "RUNNING"}]
    out = ok(desk, "--wait", "1")
    assert f"{NAME} is still running: the same command goes on from here" in out
    assert desk.pauses == [20.0, 20.0, 20.0]
    assert not (desk.submissions_dir / RUN).exists()

    kernels.statuses = [{"status": "RUNNING"}, {"status": "COMPLETE"}]
    out = ok(desk, "--force")
    assert out.startswith(f"found: https://www.kaggle.com/code/{NAME} (running)")
    assert len(kernels.pushes) == 1
    assert (desk.submissions_dir / RUN / "cv.json").is_file()


@pytest.mark.parametrize(
    "first", [{"status": "NEW_SCRIPT"}, None], ids=["never run", "refused because not there"]
)
def test_a_kernel_that_never_ran_is_pushed(
    first: dict[str, str] | None, desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.unknown = 403
    kernels.statuses = [first]
    # Not listed at once after the push; then with a status that is new to the client.
    kernels.after_push = [None, {"status": "WARMING_UP"}, {"status": "COMPLETE"}]
    assert "unknown" in ok(desk)
    assert len(kernels.pushes) == 1


def test_a_push_error_that_is_not_raised_is_reported(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.push_answer = {"error": "Maximum weekly GPU quota of 30.00 hours reached."}
    assert fail(desk) == (
        f"{NAME}: Kaggle does not start it: Maximum weekly GPU quota of 30.00 hours"
        " reached: see https://www.kaggle.com/settings for your GPU quota and phone verification"
    )
    assert not (desk.submissions_dir / ".arriving").exists()


def test_rules_that_were_not_accepted_are_said_at_the_push(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.push_answer["invalidCompetitionSources"] = ["digit-recognizer"]
    rules = "https://www.kaggle.com/competitions/digit-recognizer/rules"
    assert f"accept the rules at {rules}" in fail(desk)


def test_a_push_is_repeated_only_where_it_was_refused_for_certain(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.replies["SaveKernel"] = [refusal(429, "slow down"), Reply(500, {}, acts=True)]
    line = "it is not known whether it was pushed: Kaggle fails (500; asked 2x)"
    assert line in fail(desk)
    assert len(kernels.pushes) == 1
    assert ok(desk).startswith("found: ")
    assert len(kernels.pushes) == 1


def test_a_push_that_was_refused_is_no_open_question(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.replies["SaveKernel"] = [refusal(429) for _ in range(3)]
    line = "Kaggle says 'too many requests' (429; asked 3x)"
    assert f"{NAME}: was not pushed: {line}" in fail(desk)


def test_when_kaggle_falls_silent_the_kernel_goes_on_and_so_does_the_next_call(
    desk: Desk, kernels: KernelKaggle
) -> None:
    silent = [refusal(500) for _ in range(3)]
    kernels.replies["GetKernelSessionStatus"] = [refusal(404), *silent]
    line = "goes on at Kaggle, its status is not known: Kaggle fails (500; asked 3x)"
    assert f"{NAME} {line}" in fail(desk)
    ok(desk)
    assert len(kernels.pushes) == 1


def test_a_token_says_whose_the_kernel_is(
    desk: Desk, kernels: KernelKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    ok(desk)
    assert kernels.pushes[0]["slug"] == NAME


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_through_make_and_a_process_of_its_own(
    desk: Desk, kernels: KernelKaggle, home: Path
) -> None:
    kernels.after_push = [{"status": "COMPLETE"}]
    words = f"--submissions-dir '{desk.submissions_dir}' {' '.join(SETTINGS)}"
    done = subprocess.run(
        [
            *("make", "-o", ".venv/.ready", f"RUN_PYTHON='{sys.executable}' -m digit_recognizer"),
            *("kernel", f"RUN={RUN}", "RECIPE=default", f"ARGS={words}"),
        ],
        cwd=REPOSITORY,
        env=environment_of(kernels),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "brought back: " in done.stdout
    assert f"submission: {desk.submissions_dir / RUN / 'submission.csv'}" in done.stdout
    assert len(kernels.pushes) == 1
    assert list(home.iterdir()) == []


def test_a_kernel_that_failed_shows_the_end_of_its_log_and_force_pushes_anew(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.statuses = [{"status": "ERROR", "failureMessage": "exited with code 1"}]
    lines = [f"line {number}" for number in range(30)] + ["error: no \x1b[31mluck"]
    parts = [{"stream_name": "stderr", "time": 1.0, "data": f"{line}\n"} for line in lines]
    kernels.log = json.dumps(parts)
    first, *rest = fail(desk).splitlines()
    assert first == (
        f"{NAME}: ended with the status error (exited with code 1): see"
        f" https://www.kaggle.com/code/{NAME}, then repeat with FORCE=1"
    )
    assert rest[0] == "the end of its log:"
    assert rest[1:] == [f"  line {number}" for number in range(19, 30)] + ["  error: no [31mluck"]
    assert kernels.pushes == []
    ok(desk, "--force")
    assert len(kernels.pushes) == 1
    assert len(desk.pauses) == 4  # one before it asks: the failure may be listed a little longer


def test_a_kernel_that_left_no_run_is_a_failure(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.outputs = {"other.zip": b"", "../run.zip": b"x"}
    kernels.log = "error: the run failed"
    err = fail(desk)
    assert "ended without run.zip" in err
    assert "  error: the run failed" in err
    assert not (desk.submissions_dir / "run.zip").exists()
    assert not (desk.submissions_dir / ".arriving").exists()


def test_a_name_that_is_taken_is_refused_before_anything_is_pushed(
    desk: Desk, kernels: KernelKaggle
) -> None:
    line = "first: is there, and of another request: give another RUN, or delete it"
    assert line in fail(desk, "--run", "first")
    assert kernels.steps == []


def test_without_credentials_nothing_is_packed(
    desk: Desk, kernels: KernelKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    assert "credentials" in fail(desk)
    assert kernels.steps == []


DAMAGED = "run.zip: members/fold0-seed0/{} is damaged: it is not used"


def changed(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: content})


def other_request(files: dict[str, bytes]) -> None:
    files["recipe.json"] = files["recipe.json"].replace(b'"seed": 0', b'"seed": 1')


def other_answers(files: dict[str, bytes]) -> None:
    rows = files["submission.csv"].decode().splitlines()
    last = rows[-1].split(",")
    files["submission.csv"] = "\n".join(
        [*rows[:-1], f"{last[0]},{(int(last[1]) + 1) % 10}\n"]
    ).encode()


def pickled(files: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, val_index=np.array([{}], dtype=object))
    files["members/fold0-seed0/predictions.npz"] = buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (changed("../../evil.py", b""), "run.zip: holds '../../evil.py', which is no file of"),
        (changed("/tmp/evil.py", b""), "run.zip: holds '/tmp/evil.py', which is no file of"),
        (changed("members/fold9-seed0/history.csv", b""), "which is no file of this run"),
        (lambda files: files.pop("oof.csv"), "run.zip: lacks oof.csv: it is not used"),
        (other_request, "run.zip: recipe.json is of another request: it is not used"),
        (other_answers, "run.zip: its submission is not its members' mean: it is not used"),
        (changed("members/fold0-seed0/predictions.npz", b"PK"), DAMAGED.format("predictions.npz")),
        (
            changed("members/fold0-seed0/history.csv", b"epoch,seconds\n1,soon"),
            DAMAGED.format("history.csv"),
        ),
        (pickled, DAMAGED.format("predictions.npz")),
        (
            changed("members/fold0-seed0/model.safetensors", b"x" * 99),
            DAMAGED.format("model.safetensors"),
        ),
        (changed("submission.csv", b"ImageId,Label\n"), "submission.csv is damaged"),
        (
            changed("environment.json", b"{}"),
            "run.zip: environment.json is damaged: it is not used",
        ),
        (changed("environment.json", b'{"may_submit": 1}'), "environment.json is damaged"),
        (changed("cv.json", b"{"), "run.zip: cv.json is damaged: it is not used"),
        (
            changed("cv.json", b'{"cv_accuracy": null}'),
            "run.zip: cv.json is damaged: it is not used",
        ),
    ],
)
def test_a_zip_that_is_not_the_run_is_refused_and_leaves_nothing(
    damage: Callable[[dict[str, bytes]], None],
    line: str,
    desk: Desk,
    kernels: KernelKaggle,
    run_zip: bytes,
) -> None:
    files = contents(run_zip)
    damage(files)
    kernels.outputs = {"run.zip": packed(files)}
    err = fail(desk)
    assert line in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in desk.submissions_dir.iterdir()) == ["first"]


def test_a_zip_that_is_none_is_refused(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.outputs = {"run.zip": b"<html>sorry</html>"}
    assert fail(desk) == "run.zip: is not a good run (BadZipFile): it is not used"


@pytest.mark.parametrize(
    ("method", "found"), [(zipfile.ZIP_BZIP2, "OSError"), (zipfile.ZIP_LZMA, "LZMAError")]
)
def test_a_zip_with_damaged_bytes_is_refused_however_it_is_compressed(
    method: int, found: str, desk: Desk, kernels: KernelKaggle, run_zip: bytes
) -> None:
    spoilt = bytearray(packed(contents(run_zip), method))
    spoilt[1000:1020] = b"\xff" * 20
    kernels.outputs = {"run.zip": bytes(spoilt)}
    assert fail(desk) == f"run.zip: is not a good run ({found}): it is not used"


def test_a_transfer_that_breaks_off_is_repeated(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.replies["GET"] = [Reply(acts=True, body=b"x" * 1000, cut=10)]
    ok(desk)
    assert kernels.steps.count("GET") == 2


# --- as a notebook


def test_a_notebook_needs_no_token_and_trains_where_its_data_lie(
    desk: Desk, small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "colab" / "digits.ipynb"
    out = desk.ok("kernel", *WORDS, "--notebook", str(path))
    assert out.startswith(f"{path}: import it in Kaggle's editor or Colab")
    assert not (desk.submissions_dir / RUN).exists()
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert f"`submissions/{RUN}`" in " ".join(notebook.cells[0].source.split())

    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    script = tmp_path / "cells.py"
    script.write_text("\n".join(cells))
    put_data(small, path.parent / "digit-recognizer")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(make_interpreter(tmp_path / "python")), "-I", str(script)],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (path.parent / "submission.csv").read_text().startswith("ImageId,Label\n1,")
    with zipfile.ZipFile(path.parent / "run.zip") as run:
        run.extractall(desk.submissions_dir / RUN)
    assert "cv_accuracy" in (desk.submissions_dir / RUN / "cv.json").read_text()
