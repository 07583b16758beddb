"""`make download` from Kaggle: the real client against a loopback server."""

import json
import re
import shutil
import socket
from base64 import b64encode
from dataclasses import replace

import pytest
from support.desk import SECRET, Desk, point_to
from support.loopback import JSON, Kaggle, Reply, refusal, serve
from support.small import no_file_above

from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle import retry
from digit_recognizer.kaggle.client import Kaggle as Client
from digit_recognizer.kaggle.credentials import COMPETITION_URL

pytestmark = pytest.mark.usefixtures("key")
WHERE = "KAGGLE_USERNAME and KAGGLE_KEY"
FAILED = (
    r"{}: the connection failed \({}\): check network, proxy and clock, then repeat the command"
)


@pytest.fixture(autouse=True)
def _nothing_there(desk: Desk) -> None:
    shutil.rmtree(desk.data_dir / "digit-recognizer")


def leftovers(desk: Desk) -> list[str]:
    """Everything in the data folder but the dataset, the partial transfer and the lock."""
    names = {path.name for path in desk.data_dir.glob("*")}
    return sorted(names - {".download", "digit-recognizer", ".lock-digit-recognizer"})


def whole(kaggle: Kaggle, cut: int | None = None) -> Reply:
    """The zip as the server sends it, cut short after so many bytes."""
    reply = kaggle.answer("GET", {}, b"")
    reply.cut = cut
    return reply


def test_the_zip_becomes_a_verified_dataset_and_a_second_call_asks_nothing(
    desk: Desk, kaggle: Kaggle
) -> None:
    folder = desk.data_dir / "digit-recognizer"
    assert desk.ok("download") == f"{folder}: is in place (3 files verified)\n"
    data = load_dataset(folder)
    assert data.images.shape == (60, 28, 28)
    assert (data.provenance.source, data.provenance.may_submit) == ("kaggle", True)
    assert leftovers(desk) == []
    assert not (desk.data_dir / ".download").exists()
    kaggle.steps.clear()
    desk.ok("download")
    assert kaggle.steps == []


def test_a_transfer_that_breaks_is_resumed_where_it_broke(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["GET"] = [whole(kaggle, cut=1_500_000)]
    desk.ok("download")
    first, *_ = [headers["Range"] for _, headers, _ in kaggle.requests if "Range" in headers]
    assert 0 < int(first.removeprefix("bytes=").rstrip("-")) <= 1_500_000


def test_a_transfer_that_was_given_up_is_resumed_by_the_next_call(
    desk: Desk, kaggle: Kaggle
) -> None:
    kaggle.replies["GET"] = [whole(kaggle, cut=1_500_000)]
    begun = kaggle.answer("DownloadDataFiles", {}, b"")
    kaggle.replies["DownloadDataFiles"] = [begun, refusal(500), refusal(500)]
    desk.fail("download")
    kaggle.requests.clear()
    desk.ok("download")
    assert any("Range" in headers for _, headers, _ in kaggle.requests)
    assert not (desk.data_dir / ".download").exists()


def test_a_body_cut_short_each_time_ends_in_one_line(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["GET"] = [whole(kaggle, cut=1000) for _ in range(9)]
    assert re.fullmatch(FAILED.format(r"[\w.:]+", r"\w+"), desk.fail("download"))
    assert not (desk.data_dir / "digit-recognizer").exists()
    assert leftovers(desk) == []


def test_a_corrupt_zip_is_said_to_be_so_and_the_next_call_fetches_it_again(
    desk: Desk, kaggle: Kaggle
) -> None:
    corrupt = whole(kaggle)
    place = corrupt.body.index(b"train.csv") + 5000
    corrupt.body = corrupt.body[:place] + bytes(1000) + corrupt.body[place + 1000 :]
    kaggle.replies["GET"] = [corrupt]
    archive = desk.data_dir / ".download" / "digit-recognizer.zip"
    assert desk.fail("download") == f"{archive}: cannot be unpacked: fetch it again"
    assert leftovers(desk) == []
    assert not archive.exists()
    assert "is in place" in desk.ok("download")


def test_a_full_disk_leaves_nothing_half_written(desk: Desk, kaggle: Kaggle) -> None:
    folder = desk.data_dir / "digit-recognizer"
    with no_file_above(1_000_000):
        line = desk.fail("download")
    assert line.startswith(f"{folder}: cannot be written (File too large): make room (300 MB) or ")
    assert leftovers(desk) == []
    assert not folder.exists()


def test_rules_that_were_not_accepted_are_one_line_that_says_what_to_do(
    desk: Desk, kaggle: Kaggle
) -> None:
    kaggle.replies["DownloadDataFiles"] = [
        refusal(403, "You must accept this competition's rules.")
    ]
    assert desk.fail("download") == (
        "Kaggle refuses access to 'digit-recognizer' (403: You must accept this competition's"
        f" rules): accept the rules at {COMPETITION_URL}/rules with the account of {WHERE}; where that page has"
        f" no button for it, press 'Join Competition' at {COMPETITION_URL}, or first verify the account's phone"
        " number at https://www.kaggle.com/settings"
    )
    assert desk.pauses == []
    assert leftovers(desk) == []


@pytest.mark.parametrize("step", ["DownloadDataFiles", "GET"])
def test_too_many_requests_are_waited_for_as_long_as_kaggle_asks(
    desk: Desk, kaggle: Kaggle, step: str
) -> None:
    kaggle.replies[step] = [refusal(429, "slow", Retry_After="4"), refusal(429, "slow")]
    desk.ok("download")
    assert desk.pauses == [4, 2]


@pytest.mark.parametrize("failure", [refusal(502), Reply(cut=0)])
def test_a_failure_that_passes_is_waited_out(desk: Desk, kaggle: Kaggle, failure: Reply) -> None:
    kaggle.replies["GET"] = [failure]
    desk.ok("download")
    assert desk.pauses == [1]


def test_no_answer_in_time(desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_POLICY", replace(retry.RETRY_POLICY, read_timeout=1))
    kaggle.replies["DownloadDataFiles"] = [Reply(hang=True)] * 3
    host = kaggle.url.removeprefix("http://")
    assert re.fullmatch(FAILED.format(host, "ReadTimeout"), desk.fail("download"))
    desk.pauses.clear()
    kaggle.replies["GET"] = [Reply(hang=True)]
    desk.ok("download")
    assert desk.pauses == [1]


def test_a_host_that_cannot_be_reached(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(FAILED.format("127.0.0.1:9", "ConnectionError"), desk.fail("download"))

    def unknown(*_: object, **__: object) -> None:  # what a resolver says of a name it lacks
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    point_to(monkeypatch, "http://elsewhere.invalid")
    line = FAILED.format("elsewhere.invalid", "ConnectionError")
    assert re.fullmatch(line, desk.fail("download"))


def test_a_portal_that_answers_for_kaggle_is_one_line(desk: Desk, kaggle: Kaggle) -> None:
    portal = Reply(body=b"<html>please sign in</html>", headers={"Content-Type": "text/html"})
    kaggle.replies["DownloadDataFiles"] = [portal] * 3
    line = "Kaggle served something other than digit-recognizer.zip: repeat later"
    assert desk.fail("download") == line


@pytest.mark.parametrize(
    "words",
    [
        f"bad key {SECRET}",
        f"Proxy-Authorization: Basic {b64encode(f'someone:{SECRET}'.encode()).decode()}",
        f"you sent {b64encode(SECRET.encode()).decode()}",
        f"{'x' * 295}{SECRET}",  # messages are cut after 300 characters
        '"Authorization": "Bearer another-t0ken"',
    ],
    ids=["plain", "basic", "base64", "cut", "another"],
)
def test_a_server_that_echoes_credentials_does_not_get_them_printed(
    desk: Desk, kaggle: Kaggle, words: str
) -> None:
    kaggle.replies["DownloadDataFiles"] = [refusal(400, words)]
    line = desk.fail("download")
    assert "***" in line
    for leak in (SECRET[:4], b64encode(SECRET.encode()).decode()[:8], "c29tZW9uZ", "t0ken"):
        assert leak not in line


def test_escape_codes_of_a_server_are_shown_and_not_obeyed(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["DownloadDataFiles"] = [refusal(400, "\x1b[2J\x9b31mred\x07")]
    assert desk.fail("download") == r"Kaggle refuses (400: \x1b[2J\x9b31mred\x07)"


@pytest.mark.parametrize(
    ("status", "step"),
    [(302, "GetSubmissionLimits"), (308, "GetSubmissionLimits"), (307, "IntrospectToken")],
)
def test_an_api_call_is_not_redirected_to_another_host(
    kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch, status: int, step: str
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    with serve() as other:
        kaggle.replies[step] = [Reply(status, headers={"Location": f"{other.url}/v1/{step}"})]
        with pytest.raises(KaggleError, match=r"redirects to 127\.0\.0\.1, which is refused"):
            Client().quota()
        assert other.requests == []


def test_a_redirect_on_the_same_host_is_followed(kaggle: Kaggle) -> None:
    where = {"Location": f"{kaggle.url}/elsewhere/GetSubmissionLimits"}
    kaggle.replies["GetSubmissionLimits"] = [Reply(307, headers=where)]
    assert Client().quota() == 5


def test_a_download_is_redirected_to_a_store_that_gets_no_credentials(
    desk: Desk, kaggle: Kaggle
) -> None:
    with serve(Kaggle(kaggle.archive)) as store:
        where = {"Location": f"{store.url}/files/digit-recognizer.zip?signed=1"}
        kaggle.replies["DownloadDataFiles"] = [Reply(302, headers=where)]
        desk.ok("download")
        assert store.steps == ["GET"]
        assert "Authorization" not in store.requests[0][1]
        kaggle.replies["DownloadDataFiles"] = [Reply(307, headers=where)]
        shutil.rmtree(desk.data_dir / "digit-recognizer")
        assert "which is refused" in desk.fail("download")
        assert store.steps == ["GET"]


@pytest.mark.parametrize(
    "listing", [{"submissions": [1]}, {"submissions": [{"ref": "x"}]}, {"submissions": 3}]
)
def test_an_odd_list_of_submissions_is_one_line(kaggle: Kaggle, listing: object) -> None:
    kaggle.replies["ListSubmissions"] = [Reply(body=json.dumps(listing).encode(), headers=JSON)] * 3
    with pytest.raises(KaggleError, match=r"not from Kaggle's API|failed"):
        Client().submissions()


def test_a_public_score_that_is_no_number_is_none(kaggle: Kaggle) -> None:
    listing = {"submissions": [{"ref": 1, "publicScore": "nan"}, {"ref": 2, "publicScore": "x"}]}
    kaggle.replies["ListSubmissions"] = [Reply(body=listing)]
    assert [item.public_score for item in Client().submissions()] == [None, None]
