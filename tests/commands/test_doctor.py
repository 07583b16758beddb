"""`make doctor`: every check, passed and failed."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.desk import SECRET, Desk
from support.loopback import Kaggle, Reply, refusal
from support.simulated_gpu import Gpu, SimulatedGpus

from digit_recognizer.training.device import count_cores, probe_devices


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's disk may be full."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2e9))


def check(desk: Desk, code: int) -> dict[str, str]:
    """The checks by name; each starts with its sign, and ends with its advice."""
    found, out, err = desk.run("doctor", "--device", "cpu")
    assert (found, err) == (code, "")
    checks = {}
    for text in re.split(r"\n(?=[✓✗] )", out)[1:]:
        name, _, rest = text[2:].partition("  ")
        checks[name] = " ".join([text[0], *rest.split()])
    return checks


def test_all_is_ok(desk: Desk, kaggle: Kaggle, key: None) -> None:
    checks = check(desk, 0)
    assert {line[0] for line in checks.values()} == {"✓"}
    assert checks["credentials"] == "✓ API key in KAGGLE_USERNAME and KAGGLE_KEY"
    assert checks["access to Kaggle"] == "✓ credentials valid, rules accepted"
    assert checks["submissions left"] == "✓ 5 today"
    assert "PyTorch" in checks["Python"]
    (cpu,) = probe_devices("cpu")
    assert checks["device"] == (
        f"✓ cpu ({cpu.device.hardware}) in {cpu.device.precision}: works,"
        f" members at a time: {count_cores()}"
    )


def test_each_gpu_is_named_with_what_a_training_would_make_of_it(desk: Desk) -> None:
    old = Gpu("GeForce GT 710", major=3, total_memory=2 * 2**30, works=False)
    with SimulatedGpus(Gpu("Tesla T4", 7, 5, 15 * 2**30), old):
        _, out, _ = desk.run("doctor")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    t4 = lines.index("✓ device cuda:0 (Tesla T4, 15 GiB) in fp16: works, members at a time: 1")
    assert lines[t4 + 1 : t4 + 3] == [
        "✗ device cuda:1 (GeForce GT 710, 2 GiB) fails its first operation: CUDA error: no kernel"
        " image is available for execution",
        "-> training does without it",
    ]
    with SimulatedGpus(old):
        assert "  cpu (" in desk.run("doctor")[1]
        out = desk.run("doctor", "--device", "cuda")[1]
        assert out.startswith("train, predict, play: not ready; ")
        assert "-> give --device cpu or another\n" in out


def test_no_credentials_says_how_to_get_some(desk: Desk) -> None:
    checks = check(desk, 1)
    assert checks["credentials"].startswith("✗ none found")
    assert "https://www.kaggle.com/settings/api" in checks["credentials"]
    first = desk.run("doctor", "--device", "cpu")[1].splitlines()[0]
    assert first == "train, predict, play: ready; download, submit: not ready"


RULES = "https://www.kaggle.com/competitions/digit-recognizer/rules"


@pytest.mark.parametrize(
    ("refused", "advice"),
    [
        (refusal(401), "KAGGLE_USERNAME and KAGGLE_KEY: Kaggle does not accept this API key"),
        (
            refusal(403, "Accept the rules."),
            f"(403: Accept the rules): accept the rules at {RULES}",
        ),
    ],
    ids=["a key that Kaggle turns down", "rules that were not accepted"],
)
def test_access_that_kaggle_refuses(
    desk: Desk, kaggle: Kaggle, key: None, refused: Reply, advice: str
) -> None:
    kaggle.replies["DownloadDataFiles"] = [refused]
    access = check(desk, 1)["access to Kaggle"]
    assert access.startswith("✗ not confirmed -> ")
    assert advice in access


def test_no_submission_left_is_told_and_is_no_fault(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.left = 0
    checks = check(desk, 0)
    assert (
        checks["submissions left"] == "✗ 0 today -> the next submission is possible from 00:00 UTC"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_a_key_that_others_can_read(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    path = home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": "someone", "key": SECRET}))
    path.chmod(0o644)
    checks = check(desk, 0)
    assert checks["credentials"].endswith(f"run 'chmod 600 {path}'")


def test_without_a_network_it_says_so_and_checks_the_rest(desk: Desk, key: None) -> None:
    checks = check(desk, 1)
    assert checks["access to Kaggle"] == (
        "✗ not confirmed -> 127.0.0.1:9: the connection failed (ConnectionError): check network,"
        " proxy and clock, then repeat the command"
    )
    assert all(checks[name][0] == "✓" for name in ("Python", "device", "disk, data"))


def test_a_disk_that_is_nearly_full_is_told(
    desk: Desk, kaggle: Kaggle, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3e8))
    disk = check(desk, 1)["disk, data"]
    assert disk == f"✗ 0.3 GB free at {desk.data_dir} -> make room: 1 GB is enough"


def test_the_hours_of_gpu_that_are_left_are_told(desk: Desk, kaggle: Kaggle, key: None) -> None:
    quota = {"timeUsed": "36000s", "timeReserved": "1800s", "totalTimeAllowed": "108000s"}
    kaggle.gpu_quota = quota
    assert check(desk, 0)["Kaggle's GPU"] == "✓ 19.5 of 30 h left this week"
    kaggle.gpu_quota = {**quota, "timeUsed": "108000s"}
    assert check(desk, 0)["Kaggle's GPU"] == "✗ 0.0 of 30 h left this week"
