"""`make kernel`: the packed script runs for real, the client talks to a loopback Kaggle."""

import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from support.desk import SECRET, Desk, point_to
from support.kaggle_image import RUN, make_interpreter, put_data, run_script
from support.kernel_loopback import KernelKaggle, stream
from support.loopback import Reply, refusal, serve
from support.runner import make_small

from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.extras.kernel import kernel as kernel_module
from digit_recognizer.extras.kernel.archive import kernel_script
from digit_recognizer.extras.kernel.kernel import slug
from digit_recognizer.extras.kernel.launcher import find_data
from digit_recognizer.runs.environment import code_version
from digit_recognizer.runs.request import Request
from digit_recognizer.training.recipe import Recipe

SETTINGS = ("--n-splits", "2", "--epochs", "2", "--batch-size", "16", "--tta", "1")
RECIPE = Recipe(n_splits=2, epochs=2, batch_size=16, tta=1)
REQUEST = Request("digit-recognizer", "default", RECIPE)
WORDS = ("--run", RUN, *SETTINGS)
Machine = tuple[Path, subprocess.CompletedProcess[str]]
NAME = f"someone/{slug(RUN, REQUEST)}"
NOT_WHOLE = (
    "run.zip: arrived incomplete, or belongs to another run: it was not used:"
    " repeat the command, or give FORCE=1 to train again"
)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset's folder."""
    place = tmp_path_factory.mktemp("data")
    make_small(place)
    return place / "small"


@pytest.fixture(scope="session")
def machine(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A bare machine after it ran the script: its folder, and what it said."""
    place = tmp_path_factory.mktemp("machine")
    put_data(small, place / "working" / "digit-recognizer")
    return place, run_script(make_interpreter(place / "python"), place, REQUEST)


@pytest.fixture(scope="session")
def run_zip(machine: Machine) -> bytes:
    """The zip that it made."""
    place, done = machine
    assert done.returncode == 0, done.stdout + done.stderr
    return (place / "working" / "run.zip").read_bytes()


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, run_zip: bytes, key: None) -> Iterator[KernelKaggle]:
    """A loopback Kaggle whose kernels end well."""
    with serve(KernelKaggle(outputs={"run.zip": run_zip})) as server:
        point_to(monkeypatch, server.url)
        yield server


def contents(run_zip: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(run_zip)) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def ok(desk: Desk, *words: str) -> str:
    return desk.ok("kernel", *WORDS, *words)


def fail(desk: Desk, *words: str) -> str:
    return desk.fail("kernel", *WORDS, *words)


def test_the_script_trains_with_what_kaggles_image_has(machine: Machine) -> None:
    place, done = machine
    assert (done.returncode, done.stderr) == (0, "")
    assert "package: digit_recognizer\n" in done.stdout  # in a folder of its own
    assert "fold1-seed0  epoch   2/2" in done.stdout
    files = {path.name for path in (place / "working").iterdir()}
    assert files == {"digit-recognizer", "run.zip", "submission.csv"}
    assert not list(place.glob("digit-recognizer-*"))


@pytest.mark.slow
def test_the_other_input_folder_and_a_full_image_give_the_same_run(
    small: Path, run_zip: bytes, tmp_path: Path
) -> None:
    put_data(small, tmp_path / "working" / "competitions" / "digit-recognizer")
    python = make_interpreter(tmp_path / "python", ("digit_recognizer",))
    done = run_script(python, tmp_path, REQUEST)
    assert done.returncode == 0, done.stdout + done.stderr
    here, there = contents((tmp_path / "working" / "run.zip").read_bytes()), contents(run_zip)
    assert set(here) == set(there)
    for name, content in here.items():
        if name.endswith((".safetensors", "oof.csv", "submission.csv", "recipe.json")):
            assert content == there[name], name


def test_a_needed_package_that_is_missing_is_one_line_and_no_run(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path / "python", ("albumentations", "torch"))
    done = run_script(python, tmp_path, REQUEST)
    line = "error: Kaggle's Docker image lacks albumentations, torch: the run was not started\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert not list((tmp_path / "working").iterdir())


def test_a_session_of_its_own_without_a_gpu_ends_before_it_trains(
    small: Path, tmp_path: Path
) -> None:
    put_data(small, tmp_path / "working" / "digit-recognizer")
    python = make_interpreter(tmp_path / "python")
    done = run_script(python, tmp_path, REQUEST, KAGGLE_KERNEL_RUN_TYPE="Batch")
    assert done.returncode == 1
    assert "trains on cpu (" in done.stdout
    assert "error: Kaggle gave no GPU that works: choose the accelerator GPU T4 x2" in done.stdout


def test_data_is_found_beside_a_notebook_although_there_is_an_input_folder(tmp_path: Path) -> None:
    inputs, beside = tmp_path / "input", tmp_path / "content"
    inputs.mkdir()
    put_data(tmp_path, beside / "digit-recognizer")
    for name in DATA_FILES:
        (tmp_path / name).touch()
    assert find_data([inputs, beside]) == beside / "digit-recognizer"


def test_data_in_neither_place_is_one_line(tmp_path: Path) -> None:
    done = run_script(make_interpreter(tmp_path / "python"), tmp_path, REQUEST)
    assert done.returncode == 1
    line = "error: the competition's data is neither in .*/working/competitions/digit-recognizer:"
    assert re.match(f"{line} accept its rules on Kaggle", done.stderr.splitlines()[-1])


def test_pushed_followed_brought_back_and_fit_for_cv_and_submit(
    desk: Desk, kernels: KernelKaggle, small: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: sum(desk.pauses))  # which the pauses move on
    monkeypatch.setattr(kernel_module, "time", clock)
    out = ok(desk)
    assert desk.pauses == [20.0, 20.0, 20.0]
    assert out.startswith(f"pushed: https://www.kaggle.com/code/{NAME}\n")
    assert re.search(r"  0.0 min  queued\n  0.3 min  running\n  1.0 min  complete\n", out)
    run_dir = desk.submissions_dir / RUN
    assert f"brought back: {run_dir} (trained on cpu, " in out
    assert f"submission: {run_dir / 'submission.csv'}" in out
    assert list(home.iterdir()) == []
    environment = json.loads((run_dir / "environment.json").read_text())
    assert environment["may_submit"] is True
    assert len(environment["data"]) == 3
    assert (environment["commit"], environment["dirty"]) == code_version()

    assert RUN in desk.ok("cv", "--run", RUN)

    shutil.copy(small / "sample_submission.csv", desk.data_dir / "digit-recognizer")
    desk.submit("--run", RUN)
    assert kernels.submissions[0]["description"].startswith(f"{RUN} cv=0.")


def test_the_log_of_a_running_kernel_is_printed_line_by_line_and_once(
    desk: Desk, kernels: KernelKaggle
) -> None:
    """The stream may end early or not begin, and begins anew with each request."""
    events = [json.dumps({"data": text}) for text in ("epoch 1\n", f"{SECRET} \x1b[31m", "epoch 2")]
    kernels.streams = [events[:1], [*events, "END_OF_LOG"], [*events, "epoch 3", "END_OF_LOG"]]
    kernels.after_push[2:2] = [{"status": "RUNNING"}]
    kernels.replies["GET"] = [Reply(cut=0)]
    out = ok(desk)
    shown = [line.strip() for line in out.splitlines() if "epoch" in line or "***" in line]
    assert shown == ["epoch 1", "*** \\x1b[31m", "epoch 2", "epoch 3"]


def test_lines_that_came_before_a_stream_broke_off_are_printed(
    desk: Desk, kernels: KernelKaggle
) -> None:
    events = [json.dumps({"data": f"epoch {number}"}) for number in range(60)]
    broken = stream(events)
    broken.cut = len(broken.body) // 2
    kernels.replies["GET"] = [broken]
    kernels.streams = [[*events, "END_OF_LOG"]]
    shown = [line.strip() for line in ok(desk).splitlines() if line.startswith("  epoch")]
    assert shown == [f"epoch {number}" for number in range(60)]


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
        "sessionTimeoutSeconds": 6 * 3600,
        "competitionDataSources": ["digit-recognizer"],
    }
    assert text == kernel_script(RUN, REQUEST)
    assert len(text) < 1_000_000
    assert 5 <= len(slug("x" * 80, REQUEST)) <= 50


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
    assert not list(desk.submissions_dir.glob(".*"))


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
    assert "Kaggle cannot answer now (500)" in fail(desk)
    assert len(kernels.pushes) == 1
    assert ok(desk).startswith("found: ")
    assert len(kernels.pushes) == 1


def test_when_kaggle_falls_silent_the_next_call_goes_on(desk: Desk, kernels: KernelKaggle) -> None:
    silent = [refusal(500) for _ in range(3)]
    kernels.replies["GetKernelSessionStatus"] = [refusal(404), *silent]
    assert "Kaggle cannot answer now (500)" in fail(desk)
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


def test_a_kernel_that_failed_shows_the_end_of_its_log_and_force_pushes_anew(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.statuses = [{"status": "ERROR", "failureMessage": f"Out of memory,\n{SECRET}"}]
    lines = [f"line {number}" for number in range(30)] + ["error: no \x1b[31mluck"]
    # Kaggle adds such lines itself.
    noise = ["[NbConvertApp] Converting notebook __script__.ipynb to html", "mistune.py:435: ..."]
    parts = [{"stream_name": "stderr", "time": 1.0, "data": f"{x}\n"} for x in lines + noise]
    kernels.log = json.dumps(parts)
    first, *rest = fail(desk).splitlines()
    assert first == (
        f"{NAME}: ended with the status error (Out of memory, ***): see"
        f" https://www.kaggle.com/code/{NAME}, then repeat with FORCE=1"
    )
    shown = [*(f"line {number}" for number in range(11, 30)), r"error: no \x1b[31mluck"]
    assert rest == ["the end of its log:", *(f"  {line}" for line in shown)]
    assert kernels.pushes == []
    ok(desk, "--force")
    assert len(kernels.pushes) == 1


def test_once_it_is_pushed_only_the_new_version_counts(desk: Desk, kernels: KernelKaggle) -> None:
    """Kaggle may go on answering for the version before."""
    kernels.statuses = [{"status": "COMPLETE"}]
    ok(desk, "--force")
    labels = [
        json.loads(body).get("versionLabel")
        for path, _, body in kernels.requests
        if path.endswith(("GetKernelSessionStatus", "ListKernelSessionOutput"))
    ]
    assert labels == [None, "v1", "v1", "v1", "v1", "v1"]
    assert set(filter(None, kernels.queries)) == {"versionLabel=v1"}  # of the log


def test_an_output_that_kaggle_refuses_is_said_of_the_kernel(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.replies["ListKernelSessionOutput"] = [refusal(403)]
    fault = f"https://www.kaggle.com/code/{NAME}: Kaggle refuses access to it (403)"
    assert fail(desk) == f"{fault}: open it there, then repeat the command"
    assert kernels.steps.count("ListKernelSessionOutput") == 1


def test_a_kernel_that_is_not_shown_for_a_moment_is_waited_for(
    desk: Desk, kernels: KernelKaggle
) -> None:
    running: list[dict[str, Any] | None] = [{"status": "RUNNING"}]
    kernels.after_push = [*running * 40, None, {"status": "COMPLETE"}]
    assert "brought back: " in ok(desk)
    assert sum(desk.pauses) > 600


def test_a_token_that_is_refused_pushes_nothing(desk: Desk, kernels: KernelKaggle) -> None:
    """It says nothing about the kernel, which may be running."""
    kernels.unknown = 401
    assert "Kaggle does not accept" in fail(desk)
    assert kernels.pushes == []


def test_a_kernel_that_is_not_listed_after_ten_minutes_is_an_error(
    desk: Desk, kernels: KernelKaggle
) -> None:
    kernels.after_push = [None]
    assert f"{NAME}: Kaggle does not show it: look there before" in fail(desk)
    assert 600 <= sum(desk.pauses) < 700
    assert len(kernels.pushes) == 1


def test_too_many_sessions_are_not_a_matter_of_quota(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.push_answer = {"error": "Maximum batch GPU session count of 2 reached."}
    assert fail(desk).endswith("reached: wait, or stop a session at https://www.kaggle.com/code")


def test_a_kernel_that_left_no_run_is_a_failure(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.outputs = {"other.zip": b"", "../run.zip": b"x"}
    kernels.log = "error: the run failed"
    err = fail(desk)
    assert "ended without run.zip" in err
    assert "  error: the run failed" in err
    assert not (desk.submissions_dir / "run.zip").exists()
    assert not list(desk.submissions_dir.glob(".*"))


def test_a_name_that_is_taken_is_refused_before_anything_is_pushed(
    desk: Desk, kernels: KernelKaggle
) -> None:
    assert "first: is there already, with other settings or" in fail(desk, "--run", "first")
    assert kernels.steps == []


def test_without_credentials_nothing_is_packed(
    desk: Desk, kernels: KernelKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    assert "credentials" in fail(desk)
    assert kernels.steps == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("members/fold0-seed0/predictions.npz", b"PK"),
        ("members/fold0-seed0/history.csv", b"epoch,seconds\n1,soon"),
        ("environment.json", b"{}"),
        ("cv.json", b'{"cv_accuracy": null}'),
        ("recipe.json", json.dumps({**REQUEST.as_dict(), "seed": 1}).encode()),
        ("oof.csv", None),
    ],
)
def test_a_run_that_is_damaged_or_another_one_is_refused_and_leaves_nothing(
    name: str, content: bytes | None, desk: Desk, kernels: KernelKaggle, run_zip: bytes
) -> None:
    files = {key: value for key, value in contents(run_zip).items() if key != name}
    kernels.outputs = {"run.zip": packed(files if content is None else {**files, name: content})}
    assert fail(desk) == NOT_WHOLE
    assert [path.name for path in desk.submissions_dir.iterdir()] == ["first"]


def test_a_damaged_zip_is_refused(desk: Desk, kernels: KernelKaggle, run_zip: bytes) -> None:
    for damaged in (b"<html>sorry</html>", run_zip[:1000] + b"\xff" * 20 + run_zip[1020:]):
        kernels.outputs = {"run.zip": damaged}
        assert fail(desk) == NOT_WHOLE


def test_only_a_runs_own_files_are_unpacked(
    desk: Desk, kernels: KernelKaggle, run_zip: bytes, tmp_path: Path
) -> None:
    others = {"../../evil.py": b"", "/tmp/evil.py": b"", "members/fold9-seed0/history.csv": b""}
    kernels.outputs = {"run.zip": packed({**contents(run_zip), **others})}
    ok(desk)
    assert not list(tmp_path.rglob("evil.py"))
    assert not (desk.submissions_dir / RUN / "members" / "fold9-seed0").exists()


def test_a_transfer_that_breaks_off_is_repeated(desk: Desk, kernels: KernelKaggle) -> None:
    kernels.after_push = [{"status": "COMPLETE"}]
    of_the_log, of_the_zip = Reply(cut=0), Reply(acts=True, body=b"x" * 1000, cut=10)
    kernels.replies["GET"] = [of_the_log, of_the_zip]
    ok(desk)
    assert kernels.steps.count("GET") == 3


def test_a_notebook_needs_no_token_and_holds_the_script(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "colab" / "digits.ipynb"
    out = desk.ok("kernel", *WORDS, "--notebook", str(path))
    assert out.startswith(f"{path}: import it in Kaggle's editor or Colab")
    assert not (desk.submissions_dir / RUN).exists()
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    how, code = notebook.cells
    assert f"`submissions/{RUN}`" in " ".join(how.source.split())
    assert code.source == kernel_script(RUN, REQUEST)
