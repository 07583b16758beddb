"""Which credentials are found, which are used, and what is said where there are none."""

import json
import os
from pathlib import Path

import pytest
from support.desk import SECRET, Desk
from support.loopback import Kaggle, Reply, refusal

from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.client import Kaggle as Client
from digit_recognizer.kaggle.credentials import Credentials, find_credentials

KEY = {"username": "someone", "key": SECRET}
OAUTH = {
    "refresh_token": "refresh",
    "access_token": SECRET,
    "access_token_expiration": "2999-01-01T00:00:00+00:00",
    "username": "someone",
}
EXPIRED = {"refresh_token": SECRET, "access_token_expiration": "2000-01-01T00:00:00+00:00"}
PAIR = {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": SECRET}
WAYS: list[tuple[str, object, dict[str, str], str]] = [  # a file, variables, the kind
    (".kaggle/kaggle.json", KEY, {}, "API key"),
    (".kaggle/kaggle.json", KEY, dict.fromkeys(PAIR, ""), "API key"),
    (".config/kaggle/kaggle.json", KEY, {}, "API key"),
    ("elsewhere/kaggle.json", KEY, {"KAGGLE_CONFIG_DIR": "{home}/elsewhere"}, "API key"),
    ("KAGGLE_USERNAME and KAGGLE_KEY", None, PAIR, "API key"),
    (".kaggle/access_token", SECRET, {}, "access token"),
    ("KAGGLE_API_TOKEN", None, {"KAGGLE_API_TOKEN": SECRET}, "access token"),
    ("KAGGLE_API_TOKEN", SECRET, {"KAGGLE_API_TOKEN": "{home}/KAGGLE_API_TOKEN"}, "access token"),
    (".kaggle/credentials.json", OAUTH, {}, "OAuth"),
]


def put(path: Path, content: object, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("location", "content", "variables", "kind"), WAYS)
def test_credentials_serve_in_each_of_their_places(
    location: str,
    content: object,
    variables: dict[str, str],
    kind: str,
    home: Path,
    kaggle: Kaggle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if content:
        put(home / location, content)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=home))
    found = find_credentials()
    is_file = "/" in location
    assert found == Credentials(kind, str(home / location) if is_file else location)
    assert found.warning == ""
    Client().quota()
    sent = kaggle.requests[-1][1]["Authorization"]
    assert sent.startswith("Basic ") if kind == "API key" else sent == f"Bearer {SECRET}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_a_file_that_others_can_read_is_warned_of(home: Path, desk: Desk, kaggle: Kaggle) -> None:
    path = put(home / ".kaggle" / "kaggle.json", KEY, mode=0o644)
    line = f"warning: {path}: other users of this machine can read it: run 'chmod 600 {path}'"
    assert desk.submit().splitlines()[0] == line


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


def test_a_token_too_long_for_a_file_name_is_not_shown(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET * 60)
    assert desk.refuse() == (
        "KAGGLE_API_TOKEN: this access token is too long for a variable:"
        " put it in ~/.kaggle/access_token instead"
    )


def test_a_user_without_a_home_folder_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    assert find_credentials() is None


def test_half_a_pair_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    with pytest.raises(KaggleError, match="KAGGLE_KEY: one is missing"):
        find_credentials()


def test_no_credentials_for_a_download_tells_the_ways_there_are(desk: Desk, kaggle: Kaggle) -> None:
    err = desk.fail("download")
    first, *rest = err.splitlines()
    assert first == "no Kaggle credentials found"
    assert rest[0].startswith("How to sign in: run 'kaggle auth login'")
    assert len(rest) <= 9
    assert "https://www.kaggle.com/settings/api" in err
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
    "reply",
    [refusal(404, "no such token"), Reply(body={"active": False}), refusal(401, "no")],
    ids=["unknown", "expired", "not even checked"],
)
def test_a_token_that_kaggle_does_not_accept_is_one_line(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.replies["IntrospectToken"] = [reply]
    assert desk.fail("download") == (
        "KAGGLE_API_TOKEN: Kaggle does not accept this access token: make a new token at"
        " https://www.kaggle.com/settings/api and put it there"
    )


@pytest.mark.parametrize(
    ("file", "content", "call"),
    [
        ("access_token", SECRET, "IntrospectToken"),
        ("credentials.json", EXPIRED, "GenerateAccessToken"),
    ],
)
def test_a_token_that_the_server_refuses_and_echoes_at_the_sign_in_is_not_printed(
    home: Path, desk: Desk, kaggle: Kaggle, file: str, content: object, call: str
) -> None:
    put(home / ".kaggle" / file, content)
    kaggle.replies[call] = [refusal(422, f"bad token {SECRET}")]
    assert "Kaggle does not accept this " in desk.fail("download")


def test_the_token_check_waits_for_a_busy_kaggle(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.replies["IntrospectToken"] = [refusal(429, "slow", Retry_After="3"), refusal(500)]
    Client().quota()
    assert desk.pauses == [3, 2]
