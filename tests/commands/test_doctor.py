"""`make doctor`: every check, passed and failed."""

import json
import re
from pathlib import Path

import pytest
from support.desk import SECRET, Desk, point_to
from support.loopback import Kaggle, refusal
from support.pretended_gpu import Gpu, PretendedGpus

from digit_recognizer.training.device import probe_devices
from digit_recognizer.training.parallel import count_cores


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
    assert checks["submissions left"] == "✓ 5 today"
    assert "PyTorch" in checks["Python"]
    (cpu,) = probe_devices("cpu")
    n_members = count_cores()
    assert checks["device"] == (
        f"✓ cpu ({cpu.device.hardware}) in {cpu.device.precision}:"
        f" works, {n_members} member{'s' if n_members > 1 else ''} at a time"
    )


def test_each_gpu_is_named_with_what_a_training_would_make_of_it(desk: Desk) -> None:
    old = Gpu("GeForce GT 710", major=3, total_memory=2 * 2**30, works=False)
    with PretendedGpus(Gpu("Tesla T4", 7, 5, 15 * 2**30), old):
        _, out, _ = desk.run("doctor")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    t4 = lines.index("✓ device cuda:0 (Tesla T4, 15 GiB) in fp16: works, 1 member at a time")
    assert lines[t4 + 1 : t4 + 3] == [
        "✗ device cuda:1 (GeForce GT 710, 2 GiB) fails its first operation: CUDA error: no kernel"
        " image is available for execution",
        "-> training does without it; --device names another",
    ]
    with PretendedGpus(old):
        assert "  cpu (" in desk.run("doctor")[1]


def test_the_first_line_says_what_is_ready(desk: Desk, kaggle: Kaggle) -> None:
    first = desk.run("doctor", "--device", "cpu")[1].splitlines()[0]
    assert first == "train, predict, play: ready; download, submit: not ready"


def test_the_hours_of_gpu_that_are_left_are_shown(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.gpu_quota = {
        "timeUsed": "9000s",
        "timeReserved": "1800s",
        "totalTimeAllowed": "108000s",
    }
    assert check(desk, 0)["Kaggle's GPU"] == "✓ 27.0 of 30 h left this week"


def test_no_credentials_says_how_to_get_some(desk: Desk) -> None:
    checks = check(desk, 1)
    assert checks["credentials"].startswith("✗ none found")
    assert "https://www.kaggle.com/settings/api" in checks["credentials"]


def test_credentials_that_kaggle_turns_down(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.replies["GetSubmissionLimits"] = [refusal(401)]
    assert check(desk, 1)["credentials valid"].startswith("✗ no -> KAGGLE_USERNAME and KAGGLE_KEY")


def test_a_token_that_expired(desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.active = False
    assert check(desk, 1)["credentials valid"].startswith("✗ no -> KAGGLE_API_TOKEN")


def test_rules_that_were_not_accepted(desk: Desk, kaggle: Kaggle, key: None) -> None:
    words = "You must accept this competition's rules."
    kaggle.replies["GetSubmissionLimits"] = [refusal(403, words)]
    kaggle.replies["DownloadDataFiles"] = [refusal(403, words)]
    checks = check(desk, 1)
    assert checks["credentials valid"] == "✓ yes"
    assert checks["rules accepted"].startswith("✗ no -> Kaggle refuses access")
    assert "https://www.kaggle.com/competitions/digit-recognizer/rules" in checks["rules accepted"]


def test_no_submission_left_is_told_and_is_no_fault(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.left = 0
    checks = check(desk, 0)
    assert checks["submissions left"] == "✗ 0 today -> the next is possible from 00:00 UTC"


def test_a_key_that_others_can_read(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    path = home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": "someone", "key": SECRET}))
    path.chmod(0o644)
    checks = check(desk, 0)
    assert checks["permissions"].endswith(f"run 'chmod 600 {path}'")


def test_without_a_network_it_says_so_and_checks_the_rest(
    desk: Desk, kaggle: Kaggle, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(monkeypatch, "http://no-such-host.invalid")
    checks = check(desk, 1)
    assert checks["credentials valid"] == (
        "✗ not known: Kaggle cannot be reached -> no-such-host.invalid: cannot be reached (asked 3x):"
        " check the network and the proxy"
    )
    assert all(checks[name][0] == "✓" for name in ("Python", "device", "disk, data"))
