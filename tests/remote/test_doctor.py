"""`make doctor`: every check, well and not well."""

import json
from pathlib import Path

import pytest
from remote.conftest import SECRET, Desk, point_to
from remote.loopback import Kaggle, refusal


def lines_of(out: str) -> dict[str, str]:
    """The checks by name; each starts with its sign, and takes its advice along."""
    found: dict[str, str] = {}
    name = ""
    for line in out.splitlines():
        if line[0] in "✓✗":
            name = next(n for n in NAMES if line[2:].startswith(n))
            found[name] = f"{line[0]} {line[2:].removeprefix(name).strip()}"
        else:
            found[name] += f" {line.strip()}"
    return found


NAMES = (
    "Python",
    "packages",
    "device",
    "disk, data",
    "disk, submissions",
    "credentials valid",
    "credentials",
    "permissions",
    "rules accepted",
    "submissions left",
)


def test_all_is_well(desk: Desk, kaggle: Kaggle, key: None) -> None:
    code, out, err = desk.run("doctor", "--device", "cpu")
    checks = lines_of(out)
    assert (code, err) == (0, "")
    assert {line[0] for line in checks.values()} == {"✓"}
    assert checks["credentials"] == "✓ API key in KAGGLE_USERNAME and KAGGLE_KEY"
    assert checks["submissions left"] == "✓ 5 today"
    assert "torch" in checks["packages"]
    assert checks["device"].startswith("✓ cpu in ")


def test_no_credentials_says_how_to_get_some(desk: Desk) -> None:
    code, out, _ = desk.run("doctor", "--device", "cpu")
    assert code == 1
    assert lines_of(out)["credentials"].startswith("✗ none found")
    assert "https://www.kaggle.com/settings/api" in out


def test_credentials_that_kaggle_turns_down(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.replies["GetSubmissionLimits"] = [refusal(401)]
    code, out, _ = desk.run("doctor", "--device", "cpu")
    assert code == 1
    assert lines_of(out)["credentials valid"].startswith("✗ no -> KAGGLE_USERNAME and KAGGLE_KEY")


def test_a_token_that_expired(desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.active = False
    code, out, _ = desk.run("doctor", "--device", "cpu")
    assert code == 1
    assert lines_of(out)["credentials valid"].startswith("✗ no -> KAGGLE_API_TOKEN")


def test_rules_that_were_not_accepted(desk: Desk, kaggle: Kaggle, key: None) -> None:
    words = "You must accept this competition's rules."
    kaggle.replies["GetSubmissionLimits"] = [refusal(403, words)]
    kaggle.replies["DownloadDataFiles"] = [refusal(403, words)]
    code, out, _ = desk.run("doctor", "--device", "cpu")
    checks = lines_of(out)
    assert code == 1
    assert checks["credentials valid"] == "✓ yes"
    assert checks["rules accepted"].startswith("✗ no -> Kaggle refuses access")
    assert "https://www.kaggle.com/competitions/digit-recognizer/rules" in out


def test_no_submission_left_is_told_and_is_no_fault(desk: Desk, kaggle: Kaggle, key: None) -> None:
    kaggle.left = 0
    code, out, _ = desk.run("doctor", "--device", "cpu")
    assert code == 0
    assert lines_of(out)["submissions left"] == "✗ 0 today -> the next is possible from 00:00 UTC"


def test_a_key_that_others_can_read(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    path = home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": "someone", "key": SECRET}))
    path.chmod(0o644)
    code, out, _ = desk.run("doctor", "--device", "cpu")
    assert code == 0
    assert lines_of(out)["permissions"].endswith(f"run 'chmod 600 {path}'")


def test_without_a_network_it_says_so_and_checks_the_rest(
    desk: Desk, kaggle: Kaggle, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(monkeypatch, "http://no-such-host.invalid")
    code, out, _ = desk.run("doctor", "--device", "cpu")
    checks = lines_of(out)
    assert code == 1
    assert checks["credentials valid"] == (
        "✗ not known: Kaggle cannot be reached -> no-such-host.invalid: the name cannot be resolved"
        " (asked 3x): check the network"
    )
    assert all(checks[name][0] == "✓" for name in ("Python", "packages", "device", "disk, data"))
