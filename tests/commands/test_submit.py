"""`make submit` with Kaggle's real client against a loopback server."""

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.desk import Desk, make_run
from support.loopback import Kaggle, Reply, refusal

from digit_recognizer.kaggle.ledger import Ledger, PendingUpload

pytestmark = pytest.mark.usefixtures("key")
COMPETITION_URL = "https://www.kaggle.com/competitions/digit-recognizer"
PENDING = ".uploading.json"
STEPS = ("ListSubmissions", "GetSubmissionLimits", "StartSubmissionUpload", "CreateSubmission")


def test_a_submission_goes_up_once_and_its_score_stands_beside_the_cv_score(
    desk: Desk, kaggle: Kaggle
) -> None:
    out = desk.submit()
    assert out.splitlines() == [
        "submission of first",
        f"  file            {desk.file}  (20 rows, checked)",
        "  message         first cv=0.99500",
        "  CV accuracy     0.99500",
        "  expected score  0.99300 to 0.99700",
        "  left today      5",
        "uploaded as 1000; waiting for the score",
        "public score 0.99400, CV accuracy 0.99500 (-0.00100): inside the expected"
        " 0.99300 to 0.99700",
    ]
    assert kaggle.blobs == [desk.file.read_bytes()]
    assert kaggle.submissions[0]["description"] == "first cv=0.99500"
    assert len(desk.ledger) == 1
    assert desk.ledger[0].endswith(",0.995,0.994,1000,complete,")
    assert not (desk.submissions_dir / PENDING).exists()
    bodies = {path.rsplit("/", 1)[-1]: body for path, _, body in kaggle.requests}
    start = json.loads(bodies["StartSubmissionUpload"])
    assert (start["competitionName"], start["fileName"]) == ("digit-recognizer", "submission.csv")
    assert json.loads(bodies["CreateSubmission"])["blobFileTokens"] == "blob-1"


def leaderboard(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("digit-recognizer-publicleaderboard.csv", text)
    return packed.getvalue()


def test_the_rank_of_the_score_is_said(desk: Desk, kaggle: Kaggle) -> None:
    rows = ["1,7,A,2026-01-01,1.00000", "2,8,B,2026-01-02,0.99400", "3,9,C,2026-01-03,0.99300"]
    header = "Rank,TeamId,TeamName,LastSubmissionDate,Score"
    kaggle.leaderboard = leaderboard("\n".join([header, *rows]) + "\n")
    line = "rank 2 on the public leaderboard of 3 teams; 1 with the same score"
    assert desk.submit().splitlines()[-1] == line


@pytest.mark.parametrize("content", [b"no zip", leaderboard("Rank,Points\n1,2\n"), b""])
def test_a_leaderboard_that_cannot_be_read_is_no_failure(
    desk: Desk, kaggle: Kaggle, content: bytes
) -> None:
    kaggle.leaderboard = content
    assert desk.submit().splitlines()[-1].startswith("public score 0.99400")
    assert desk.pauses == []


def test_a_score_too_good_to_be_true_is_a_suspicion(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "COMPLETE", "publicScore": "0.99900"}
    score, warning = desk.submit().splitlines()[-2:]
    assert score.endswith("ABOVE the expected 0.99300 to 0.99700")
    suspicion = (
        "a public score above 0.9987 is suspicious: some labels are wrong: look for test rows that"
        " leaked into the training rows"
    )
    assert warning == f"warning: {suspicion}"
    assert desk.ok("scores").splitlines()[-1] == f"warning: first: {suspicion}"


def test_the_latest_scores_are_shown_before_the_question(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit()
    make_run(desk, "second", seed=1)
    assert "  before          0.99400  first cv=0.99500" in desk.submit("--run", "second")


def test_a_file_of_no_run_is_submitted_under_its_own_name(
    desk: Desk, kaggle: Kaggle, tmp_path: Path
) -> None:
    copy = desk.file.rename(tmp_path / "blend.csv")
    assert desk.submit("--file", str(copy)).splitlines()[-1] == "public score 0.99400"
    assert ",blend," in desk.ledger[0]


def test_without_a_terminal_and_without_yes_nothing_is_uploaded(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    refused = desk.fail("submit")
    assert refused == "nothing was uploaded: there is no terminal to ask on: give YES=1"
    assert "PUT" not in kaggle.steps
    assert desk.ledger == []


def test_the_same_file_is_refused_unless_forced(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit()
    assert desk.refuse() == (
        f"{desk.file}: the same file was uploaded on {desk.ledger[0][:10]} as first"
        " (public score: 0.99400): give FORCE=1 to upload it again"
    )
    desk.submit("--force")
    assert len(desk.ledger) == len(kaggle.submissions) == 2


@pytest.mark.parametrize(
    ("verdict", "score"),
    [
        ({"status": "PENDING"}, "not known yet: 'make scores' asks for it"),
        ({"status": "ERROR"}, "none, Kaggle could not score it"),
    ],
)
def test_a_file_without_a_score_is_refused_with_what_is_known_of_it(
    desk: Desk, kaggle: Kaggle, verdict: dict[str, str], score: str
) -> None:
    kaggle.verdict = verdict
    desk.run("submit", "--run", "first", "--yes")
    assert f"(public score: {score}): give FORCE=1 to upload it again" in desk.refuse()


def test_an_invalid_file_never_leaves_the_machine(desk: Desk, kaggle: Kaggle) -> None:
    desk.file.write_text(desk.file.read_text().replace("\n7,", "\n77,"))
    assert desk.refuse() == f"{desk.file}: has the ImageId 77 where 7 must be"
    assert kaggle.steps == []


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"source": "mnist"},
            "was trained on data from 'mnist', which may never be submitted: run 'make download',"
            " then 'make train DATA=digit-recognizer'",
        ),
        (
            {"repeats": 2000},
            "2000 test images are also training rows: its score would mean nothing, so it is not"
            " submitted; get the data with 'make download'",
        ),
    ],
    ids=["mnist", "leaked"],
)
def test_data_that_holds_the_answers_may_never_be_submitted(
    desk: Desk, kaggle: Kaggle, environment: dict[str, object], line: str
) -> None:
    folder = make_run(desk, "leaky", may_submit=False, **environment)
    assert desk.refuse("--force", "--run", "leaky") == f"{folder}: {line}"
    assert kaggle.steps == []


def test_a_file_with_a_leaky_runs_bytes_is_refused_under_any_name(
    desk: Desk, kaggle: Kaggle, tmp_path: Path
) -> None:
    folder = make_run(desk, "leaky", seed=3, may_submit=False, source="mnist")
    copy = shutil.copy(folder / "submission.csv", tmp_path / "mine.csv")
    assert "may never be submitted" in desk.refuse("--file", str(copy))
    assert kaggle.steps == []


def test_no_submission_left_says_when_there_will_be_one(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.left = 0
    assert desk.refuse() == (
        "nothing was uploaded: no submission is left today, the next is from 00:00 UTC"
    )
    assert "PUT" not in kaggle.steps


UPLOADED = "the file is uploaded (1000)"


@pytest.mark.parametrize(
    ("verdict", "line", "row"),
    [
        (
            {"status": "ERROR", "errorDescription": "Invalid\nsubmission: row 3"},
            "Kaggle could not score {} (1000): Invalid submission: row 3",
            ",1000,error,Invalid submission: row 3",
        ),
        (
            {"status": "ERROR"},
            "Kaggle could not score {} (1000): it gives no reason",
            ",1000,error,",
        ),
        (
            {"status": "QUEUED_TWICE"},
            f"{UPLOADED}, with the status 'QUEUED_TWICE', which is new to this program: look at"
            f" {COMPETITION_URL}/submissions; 'make scores' asks again",
            ",1000,queued_twice,",
        ),
    ],
    ids=["a reason", "no reason", "a new status"],
)
def test_a_submission_without_a_score_is_one_line_and_in_the_ledger(
    desk: Desk, kaggle: Kaggle, verdict: dict[str, str], line: str, row: str
) -> None:
    kaggle.verdict = verdict
    assert desk.refuse() == line.format(desk.file)
    assert desk.ledger[0].endswith(row)


def test_waiting_has_an_end_and_names_make_scores(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "PENDING"}
    last = desk.submit().splitlines()[-1]
    assert last == "no score yet: 'make scores' asks for it later"
    assert desk.pauses == [5] * 4
    assert desk.ledger[0].endswith(",,1000,pending,")


def test_a_submission_that_kaggle_does_not_list_is_no_success(desk: Desk, kaggle: Kaggle) -> None:
    listing = Reply(body={"submissions": [], "nextPageToken": ""})
    kaggle.replies["ListSubmissions"] = [listing] * 9
    assert desk.refuse() == (
        f"{UPLOADED}, its score is not known: Kaggle does not list it: look at {COMPETITION_URL}/submissions:"
        " later, 'make scores' asks for it"
    )
    assert len(desk.ledger) == 1


LIMIT = "Your team has used its daily Submission allowance (5) today"
REFUSED, FULL = refusal(403), refusal(400, f"{LIMIT}.")


@pytest.mark.parametrize("step", [*STEPS, "PUT"])
def test_a_failure_that_passes_is_waited_out_and_leaves_one_submission(
    desk: Desk, kaggle: Kaggle, step: str
) -> None:
    kaggle.replies[step] = [refusal(429, "slow down", Retry_After="7"), refusal(503, "oops")]
    desk.submit()
    assert desk.pauses == [7, 2]
    assert len(kaggle.submissions) == len(desk.ledger) == 1


@pytest.mark.parametrize(
    ("step", "reply", "line"),
    [
        (
            "StartSubmissionUpload",
            refusal(429, "slow down", Retry_After="7"),
            "Kaggle cannot answer now (429): repeat the command in 7 s",
        ),
        ("PUT", refusal(500), "Kaggle cannot answer now (500): repeat the command later"),
        ("PUT", REFUSED, "{file}: Kaggle's storage refused it (403): repeat the command"),
        (
            "PUT",
            Reply(cut=0),
            "{host}: the connection failed (ConnectionError): check network, proxy and clock, then"
            " repeat the command",
        ),
        # Reached between the question and the upload.
        ("StartSubmissionUpload", FULL, f"Kaggle refuses (400: {LIMIT})"),
    ],
    ids=["busy", "store down", "store refuses", "cut off", "daily limit"],
)
def test_a_failure_that_does_not_pass_ends_in_one_line(
    desk: Desk, kaggle: Kaggle, step: str, reply: Reply, line: str
) -> None:
    kaggle.replies[step] = [reply] * 3
    host = kaggle.url.removeprefix("http://")
    assert desk.refuse() == line.format(file=desk.file, host=host)
    assert bool(desk.pauses) == (reply not in (REFUSED, FULL))
    assert desk.ledger == kaggle.submissions == []
    assert not (desk.submissions_dir / PENDING).exists()


def test_a_pause_beyond_the_limit_is_reported_not_slept(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["ListSubmissions"] = [refusal(429, "slow down", Retry_After="3600")]
    assert desk.refuse() == "Kaggle cannot answer now (429): repeat the command in 3600 s"
    assert desk.pauses == []


def test_reference_zero_is_a_failure(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(body={"message": "Could not submit", "ref": 0})]
    assert desk.refuse() == (
        f"{desk.file}: was not uploaded: Kaggle says 'Could not submit': repeat the command later"
    )
    assert desk.ledger == []


def test_an_answer_lost_after_the_submission_was_made_is_no_second_submission(
    desk: Desk, kaggle: Kaggle
) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, cut=0)]
    desk.submit()
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_a_lost_answer_stays_in_doubt_through_later_failures(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, cut=0)]
    nothing = Reply(body={"submissions": [], "nextPageToken": ""})
    kaggle.replies["ListSubmissions"] = [nothing, nothing]  # it is listed late
    begun = kaggle.answer("StartSubmissionUpload", {}, b"")
    kaggle.replies["StartSubmissionUpload"] = [begun, refusal(500)]
    desk.submit()
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_a_list_that_kaggle_puts_off_for_an_hour_is_not_asked_for_again(
    desk: Desk, kaggle: Kaggle
) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, cut=0)]
    nothing = Reply(body={"submissions": [], "nextPageToken": ""})
    later = refusal(429, "slow down", Retry_After="3600")
    kaggle.replies["ListSubmissions"] = [nothing, later]
    assert "repeat the command in 3600 s" in desk.refuse()
    assert kaggle.steps.count("ListSubmissions") == 2


def interrupt(desk: Desk, kaggle: Kaggle, arrived: bool) -> Ledger:
    """Leave things as a process leaves them that dies in the middle of an upload."""
    desk.submit()
    ledger = Ledger(desk.submissions_dir)
    [entry] = ledger.entries()
    ledger.path.unlink()
    begun = replace(entry, ref=0, status="pending", public_score=None)
    ledger.begin(PendingUpload(begun, "first cv=0.99500", "submission.csv", last_ref=0))
    if not arrived:
        kaggle.submissions.clear()
    kaggle.steps.clear()
    return ledger


def test_interrupted_between_upload_and_ledger_the_next_call_finds_it(
    desk: Desk, kaggle: Kaggle
) -> None:
    interrupt(desk, kaggle, arrived=True)
    found = "an interrupted 'make submit' had uploaded this file: Kaggle lists it (1000)"
    assert desk.submit().splitlines()[0] == found
    assert "PUT" not in kaggle.steps
    assert len(kaggle.submissions) == len(desk.ledger) == 1
    assert desk.ledger[0].endswith(",0.994,1000,complete,")


def test_interrupted_before_anything_arrived_the_next_call_uploads(
    desk: Desk, kaggle: Kaggle
) -> None:
    interrupt(desk, kaggle, arrived=False)
    desk.submit()
    assert kaggle.steps.count("PUT") == 1
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_interrupted_after_the_ledger_was_written_it_is_the_same_file_again(
    desk: Desk, kaggle: Kaggle
) -> None:
    ledger = interrupt(desk, kaggle, arrived=True)
    upload = ledger.pending()
    assert upload is not None
    ledger.end(upload, ref=1000)
    ledger.begin(upload)
    assert "the same file was uploaded on" in desk.refuse()
    assert "PUT" not in kaggle.steps


def test_interrupted_the_scores_find_it_too(desk: Desk, kaggle: Kaggle) -> None:
    interrupt(desk, kaggle, arrived=True)
    assert "0.99400" in desk.ok("scores")
    assert len(desk.ledger) == 1


def test_a_file_that_does_not_exist_is_no_such_file(desk: Desk) -> None:
    assert desk.refuse("--file", "foo.csv") == "foo.csv: no such file"


def test_a_file_with_one_label_only_is_a_warning(desk: Desk, kaggle: Kaggle) -> None:
    sample = desk.data_dir / "digit-recognizer" / "sample_submission.csv"
    out = desk.submit("--file", str(sample))
    assert out.startswith(f"warning: {sample}: every label is 0\nsubmission of sample_submission\n")
