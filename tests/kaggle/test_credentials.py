"""Which credentials are found, which are used, and what is said where there are none."""

import json
from pathlib import Path

import pytest
from support.desk import SECRET, Desk
from support.loopback import Kaggle, Reply, refusal

from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.client import Kaggle as Client
from digit_recognizer.kaggle.credentials import find_credentials

KEY = {"username": "someone", "key": SECRET}


def put(path: Path, content: object, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


@pytest.mark.parametrize("place", [".kaggle", ".config/kaggle", "elsewhere"])
def test_kaggle_json_serves_in_its_three_places(
    home: Path, desk: Desk, kaggle: Kaggle, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(home / place / "kaggle.json", KEY)
    if place == "elsewhere":
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(path.parent))
    found = find_credentials()
    assert found is not None
    assert (found.kind, found.location, found.warning) == ("API key", str(path), "")
    Client().quota()
    assert "Authorization" in kaggle.requests[-1][1]


@pytest.mark.parametrize("way", ["variable", "variable with a path", "file"])
def test_an_access_token_serves_in_its_three_ways(
    home: Path, desk: Desk, kaggle: Kaggle, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "file":
        where = str(put(home / ".kaggle" / "access_token", SECRET))
    else:
        where = "KAGGLE_API_TOKEN"
        path = put(home / "token", SECRET)
        monkeypatch.setenv(where, SECRET if way == "variable" else str(path))
    found = find_credentials()
    assert found is not None
    assert (found.kind, found.location) == ("access token", where)
    Client().quota()
    assert kaggle.steps == ["IntrospectToken", "GetSubmissionLimits"]
    assert kaggle.requests[-1][1]["Authorization"] == f"Bearer {SECRET}"


def test_user_name_and_key_in_the_environment_serve(
    home: Path, desk: Desk, kaggle: Kaggle, key: None
) -> None:
    found = find_credentials()
    assert found is not None
    assert found.location == "KAGGLE_USERNAME and KAGGLE_KEY"
    Client().quota()
    assert kaggle.requests[-1][1]["Authorization"].startswith("Basic ")
    assert list(home.iterdir()) == []


def test_oauth_serves(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    content = {
        "refresh_token": "refresh",
        "access_token": SECRET,
        "access_token_expiration": "2999-01-01T00:00:00+00:00",
        "username": "someone",
    }
    path = put(home / ".kaggle" / "credentials.json", content)
    found = find_credentials()
    assert found is not None
    assert (found.kind, found.location) == ("OAuth", str(path))
    Client().quota()
    assert kaggle.requests[-1][1]["Authorization"] == f"Bearer {SECRET}"


def test_a_file_that_others_can_read_is_warned_of(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    path = put(home / ".kaggle" / "kaggle.json", KEY, mode=0o644)
    out = desk.submit()
    assert out.splitlines()[0] == (
        f"warning: {path}: other users of this machine can read it: run 'chmod 600 {path}'"
    )


def test_finding_credentials_makes_no_folder_and_says_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_credentials() is None
    assert list(home.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_a_damaged_kaggle_json_is_an_error_not_a_silence(home: Path) -> None:
    path = put(home / ".kaggle" / "kaggle.json", "{")
    with pytest.raises(KaggleError) as caught:
        find_credentials()
    assert str(caught.value) == (
        f"{path}: is not a Kaggle key (JSON with username and key): make a new one at"
        " https://www.kaggle.com/settings/api"
    )


def test_half_a_pair_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    with pytest.raises(KaggleError, match="KAGGLE_KEY: one is missing"):
        find_credentials()


def test_no_credentials_for_a_download_tells_the_ways_there_are(desk: Desk, kaggle: Kaggle) -> None:
    err = desk.fail("download")
    first, *rest = err.splitlines()
    assert first == (
        "no Kaggle credentials found: run 'kaggle auth login', or get a token at"
        " https://www.kaggle.com/settings/api and put it in ~/.kaggle/access_token"
    )
    assert 3 <= len(rest) <= 9
    assert "make train DATA=sample" in err
    assert kaggle.steps == []


def test_no_credentials_for_a_submission_tells_how_to_upload_by_hand(
    desk: Desk, kaggle: Kaggle
) -> None:
    lines = desk.refuse().splitlines()
    assert lines[0] == "no Kaggle credentials found: nothing was uploaded"
    assert lines[1].endswith(str(desk.submissions_dir / "first" / "submission.csv"))
    assert lines[2].endswith("https://www.kaggle.com/competitions/digit-recognizer/submit")
    assert kaggle.steps == []


@pytest.mark.parametrize(
    ("replies", "active", "why"),
    [
        ([refusal(404, "no such token")], True, "wrong, expired or revoked"),
        ([], False, "wrong, expired or revoked"),
        ([refusal(401, "no")], True, "401"),
    ],
    ids=["unknown", "expired", "not even checked"],
)
def test_a_bad_token(
    desk: Desk,
    kaggle: Kaggle,
    monkeypatch: pytest.MonkeyPatch,
    replies: list[Reply],
    active: bool,
    why: str,
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.replies["IntrospectToken"], kaggle.active = list(replies), active
    assert desk.fail("download") == (
        f"KAGGLE_API_TOKEN: Kaggle does not accept this access token ({why}): make a new"
        " token at https://www.kaggle.com/settings/api and put it there"
    )


def test_the_token_check_waits_for_a_busy_kaggle(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.replies["IntrospectToken"] = [refusal(429, "slow", Retry_After="3"), refusal(500)]
    Client().quota()
    assert desk.pauses == [3, 2]
