"""`make submit` with Kaggle's real client against a loopback server."""

import io
import json
import re
from pathlib import Path

import pytest
from remote.conftest import N_TEST, Desk, make_run
from remote.loopback import Kaggle, Reply, refusal

from digit_recognizer.stages import submit as stage
from digit_recognizer.storage.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("key")
WHERE = "KAGGLE_USERNAME and KAGGLE_KEY"


def test_a_submission_goes_up_once_and_its_score_stands_beside_the_cv_score(
    desk: Desk, kaggle: Kaggle
) -> None:
    code, out, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "submission of first",
        f"  file            {file}  (20 rows, checked)",
        "  message         first cv=0.99500",
        "  CV accuracy     0.99500",
        "  expected score  0.99300 to 0.99700",
        "  left today      5",
        "uploaded as 1000; waiting for the score",
        "public score 0.99400, CV accuracy 0.99500 (-0.00100): inside the expected"
        " 0.99300 to 0.99700",
    ]
    assert kaggle.blobs == [file.read_bytes()]
    assert kaggle.submissions[0]["description"] == "first cv=0.99500"
    assert len(desk.ledger) == 1
    assert desk.ledger[0].endswith(",0.995,0.994,1000,complete,")
    assert not (desk.submissions_dir / ".uploading.json").exists()


def test_a_score_outside_the_expected_interval_is_called_so(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "COMPLETE", "publicScore": "0.98"}
    assert "BELOW the expected 0.99300" in desk.submit()[1]


def test_a_score_on_the_edge_is_inside_because_kaggle_rounds(desk: Desk, kaggle: Kaggle) -> None:
    make_run(desk, "second", cv=0.996004, seed=1)
    out = desk.submit("--run", "second")[1]
    assert out.endswith(
        "public score 0.99400, CV accuracy 0.99600 (-0.00200): inside the expected"
        " 0.99400 to 0.99800\n"
    )


SUSPICION = (
    "a public score above 0.9987 is better than the labels allow: look for test rows that leaked"
    " into the training rows"
)


def test_a_score_too_good_to_be_true_is_a_suspicion(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "COMPLETE", "publicScore": "0.99900"}
    code, out, _ = desk.submit()
    assert code == 0
    score, warning = out.splitlines()[-2:]
    assert score.endswith("ABOVE the expected 0.99300 to 0.99700")
    assert warning == f"warning: {SUSPICION}"
    assert desk.run("scores")[1].splitlines()[-1] == f"warning: first: {SUSPICION}"


def test_the_latest_scores_are_shown_before_the_question(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit()
    make_run(desk, "second", seed=1)
    assert "  before          0.99400  first cv=0.99500" in desk.submit("--run", "second")[1]


def test_a_message_of_ones_own_is_what_kaggle_shows(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit("--message", 'it\'s "mine"')
    assert kaggle.submissions[0]["description"] == 'it\'s "mine"'


def test_without_a_terminal_and_without_yes_nothing_is_uploaded(
    desk: Desk, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = desk.run("submit")
    assert (code, err) == (
        1,
        "error: nothing was uploaded: there is no terminal to ask: give YES=1\n",
    )
    assert "PUT" not in kaggle.steps
    assert desk.ledger == []


def test_no_for_an_answer_uploads_nothing(desk: Desk, kaggle: Kaggle) -> None:
    run, said = stage.Run(desk.submissions_dir / "first"), []
    outcome = stage.submit(
        run,
        desk.submissions_dir,
        desk.data_dir,
        None,
        None,
        yes=False,
        force=False,
        ask=lambda question: False,
        say=said.append,
    )
    assert outcome.ref is None
    assert said[-1] == "nothing was uploaded"
    assert "PUT" not in kaggle.steps


def test_the_same_file_is_refused_unless_forced(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit()
    date = desk.ledger[0][:10]
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (
        1,
        f"error: {file}: the same file was uploaded on {date} as first"
        " (public score: 0.99400): give FORCE=1 to upload it again\n",
    )
    assert desk.submit("--force")[0] == 0
    assert len(desk.ledger) == len(kaggle.submissions) == 2


def test_an_invalid_file_never_leaves_the_machine(desk: Desk, kaggle: Kaggle) -> None:
    file = desk.submissions_dir / "first" / "submission.csv"
    file.write_text(file.read_text().replace("\n7,", "\n77,"))
    code, _, err = desk.submit()
    assert (code, err) == (1, f"error: {file}: line 8 has ImageId '77': it must be 7\n")
    assert kaggle.steps == []


def test_a_file_with_rows_missing_never_leaves_the_machine(desk: Desk, kaggle: Kaggle) -> None:
    file = desk.submissions_dir / "first" / "submission.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    code, _, err = desk.submit()
    assert code == 1
    assert err == (
        f"error: {file}: has {N_TEST - 1} rows: it must have {N_TEST},"
        " one for each row of test.csv\n"
    )
    assert kaggle.steps == []


@pytest.mark.parametrize("source", ["mnist", "sample"])
def test_data_that_holds_the_answers_may_never_be_submitted(
    desk: Desk, kaggle: Kaggle, source: str
) -> None:
    folder = make_run(desk, "leaky", may_submit=False, source=source)
    code, _, err = desk.submit("--run", "leaky", "--force")
    assert (code, err) == (
        1,
        f"error: {folder}: was trained on data from '{source}', which may never be submitted: run"
        " 'make download', then 'make train DATA=digit-recognizer'\n",
    )
    assert kaggle.steps == []


def test_test_images_in_the_training_rows_are_another_reason(desk: Desk, kaggle: Kaggle) -> None:
    folder = make_run(desk, "leaky", may_submit=False, repeats=2000)
    code, _, err = desk.submit("--run", "leaky")
    assert (code, err) == (
        1,
        f"error: {folder}: 2000 test images stand in its training rows: its score would mean"
        " nothing, so it is not submitted; get the data with 'make download'\n",
    )
    assert kaggle.steps == []


def test_a_file_with_a_leaky_runs_bytes_is_refused_under_any_name(
    desk: Desk, kaggle: Kaggle, tmp_path: Path
) -> None:
    folder = make_run(desk, "leaky", seed=3, may_submit=False, source="mnist")
    copy = tmp_path / "mine.csv"
    copy.write_bytes((folder / "submission.csv").read_bytes())
    code, _, err = desk.submit("--file", str(copy))
    assert code == 1
    assert "may never be submitted" in err
    assert kaggle.steps == []


def test_a_file_of_no_run_is_submitted_under_its_own_name(
    desk: Desk, kaggle: Kaggle, tmp_path: Path
) -> None:
    copy = tmp_path / "blend.csv"
    lines = [f"{number},{number % 10}" for number in range(1, N_TEST + 1)]
    copy.write_text("\n".join(["ImageId,Label", *lines]) + "\n")
    code, out, _ = desk.submit("--file", str(copy))
    assert code == 0
    assert out.splitlines()[-1] == "public score 0.99400"
    assert ",blend," in desk.ledger[0]


def test_no_submission_left_says_when_there_will_be_one(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.left = 0
    code, _, err = desk.submit()
    assert code == 1
    assert re.fullmatch(
        r"error: nothing was uploaded: no submission is left today \(5 made\): the next is possible"
        r" from 00:00 UTC, in \d+ h [0-5]\d min\n",
        err,
    )
    assert "PUT" not in kaggle.steps


def test_the_daily_limit_reached_between_question_and_upload_is_kaggles_refusal(
    desk: Desk, kaggle: Kaggle
) -> None:
    words = "Your team has used its daily Submission allowance (5) today."
    kaggle.replies["StartSubmissionUpload"] = [refusal(400, words)]
    code, _, err = desk.submit()
    assert (code, err) == (1, f"error: Kaggle refuses (400: {words[:-1]})\n")
    assert desk.ledger == []


def test_status_error_with_a_reason(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "ERROR", "errorDescription": "Invalid\nsubmission: row 3"}
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (
        1,
        f"error: Kaggle could not score {file} (1000): Invalid submission: row 3\n",
    )
    assert desk.ledger[0].endswith(",1000,error,Invalid submission: row 3")


def test_status_error_without_a_reason(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "ERROR"}
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (
        1,
        f"error: Kaggle could not score {file} (1000): it gives no reason\n",
    )


def test_a_status_that_is_new_to_the_client_is_named(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "QUEUED_TWICE"}
    code, _, err = desk.submit()
    assert (code, err) == (
        1,
        "error: the file is uploaded (1000), with the status 'QUEUED_TWICE', which is new to this"
        " program: look at https://www.kaggle.com/competitions/digit-recognizer/submissions;"
        " 'make scores' asks again\n",
    )
    assert desk.ledger[0].endswith(",1000,queued_twice,")


def test_waiting_has_an_end_and_names_make_scores(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.verdict = {"status": "PENDING"}
    code, out, _ = desk.submit()
    assert code == 0
    assert out.splitlines()[-1] == "no score yet: 'make scores' asks for it later"
    assert 20 <= sum(desk.pauses) < 45
    assert desk.ledger[0].endswith(",,1000,pending,")


@pytest.mark.parametrize(
    "step",
    ["ListSubmissions", "GetSubmissionLimits", "StartSubmissionUpload", "PUT", "CreateSubmission"],
)
def test_too_many_requests_are_waited_for_as_long_as_kaggle_asks(
    desk: Desk, kaggle: Kaggle, step: str
) -> None:
    kaggle.replies[step] = [refusal(429, "slow down", Retry_After="7")]
    assert desk.submit()[0] == 0
    assert desk.pauses == [7]
    assert len(kaggle.submissions) == len(desk.ledger) == 1


@pytest.mark.parametrize(
    "step",
    ["ListSubmissions", "GetSubmissionLimits", "StartSubmissionUpload", "CreateSubmission"],
)
def test_too_many_requests_for_too_long_end_in_one_line(
    desk: Desk, kaggle: Kaggle, step: str
) -> None:
    kaggle.replies[step] = [refusal(429, "slow down", Retry_After="7")] * 3
    code, _, err = desk.submit()
    assert (code, err) == (
        1,
        "error: Kaggle says 'too many requests' (429; asked 3x): repeat in 7 s\n",
    )
    assert desk.ledger == []


def test_a_pause_beyond_all_patience_is_reported_not_slept(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["ListSubmissions"] = [refusal(429, "slow down", Retry_After="3600")]
    code, _, err = desk.submit()
    assert (code, err) == (
        1,
        "error: Kaggle says 'too many requests' (429; asked 1x): repeat in 3600 s\n",
    )
    assert desk.pauses == []


@pytest.mark.parametrize(
    "step",
    ["ListSubmissions", "GetSubmissionLimits", "StartSubmissionUpload", "PUT", "CreateSubmission"],
)
def test_500_then_well_is_one_submission(desk: Desk, kaggle: Kaggle, step: str) -> None:
    kaggle.replies[step] = [refusal(500, "oops"), refusal(503, "oops")]
    assert desk.submit()[0] == 0
    assert desk.pauses == [1, 2]
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_500_for_ever_ends_in_one_line(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["StartSubmissionUpload"] = [refusal(500, "oops")] * 3
    code, _, err = desk.submit()
    assert (code, err) == (
        1,
        "error: Kaggle fails (500; asked 3x): repeat the command later\n",
    )


def test_an_answer_lost_after_the_submission_was_made_is_no_second_submission(
    desk: Desk, kaggle: Kaggle
) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, cut=0)]
    assert desk.submit()[0] == 0
    assert len(kaggle.submissions) == len(desk.ledger) == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (403, "Kaggle's store refuses it (403): repeat the command"),
        (500, "Kaggle fails (500; asked 3x): repeat the command later"),
        (429, "Kaggle says 'too many requests' (429; asked 3x): repeat in a few minutes"),
    ],
)
def test_an_upload_that_the_client_fails_in_silence_is_a_failure(
    desk: Desk, kaggle: Kaggle, status: int, line: str
) -> None:
    kaggle.replies["PUT"] = [refusal(status)] * 3
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (1, f"error: {file}: was not uploaded: {line}\n")
    assert desk.ledger == kaggle.submissions == []
    assert not (desk.submissions_dir / ".uploading.json").exists()


def test_a_connection_that_breaks_in_every_upload_is_a_failure(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["PUT"] = [Reply(cut=0)] * 3
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    line = "was not uploaded: the connection broke off each time: repeat the command"
    assert (code, err) == (1, f"error: {file}: {line}\n")


def test_reference_zero_is_a_failure(desk: Desk, kaggle: Kaggle) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(body={"message": "Could not submit", "ref": 0})]
    code, _, err = desk.submit()
    file = desk.submissions_dir / "first" / "submission.csv"
    assert (code, err) == (
        1,
        f"error: {file}: was not uploaded: Kaggle says 'Could not submit': repeat the command"
        " later\n",
    )
    assert desk.ledger == []


def test_a_submission_that_kaggle_does_not_list_is_not_called_well(
    desk: Desk, kaggle: Kaggle
) -> None:
    listing = Reply(body={"submissions": [], "nextPageToken": ""})
    kaggle.replies["ListSubmissions"] = [listing] * 9
    code, _, err = desk.submit()
    assert (code, err) == (
        1,
        "error: the file is uploaded (1000), its score is not known: Kaggle does not list it: look"
        " at https://www.kaggle.com/competitions/digit-recognizer/submissions: later,"
        " 'make scores' asks for it\n",
    )
    assert len(desk.ledger) == 1


def interrupt(desk: Desk, kaggle: Kaggle, arrived: bool) -> None:
    """Leave things as a process leaves them that dies in the middle of an upload."""
    desk.submit()  # refused if that was done before
    ledger = desk.submissions_dir / "ledger.csv"
    digest = desk.ledger[0].split(",")[2]
    ledger.unlink()
    intent = {
        "time": "2026-01-01T00:00:00+00:00",
        "run": "first",
        "file_sha256": digest,
        "cv_accuracy": 0.995,
        "message": "first cv=0.99500",
        "file_name": "submission.csv",
        "last_ref": 0,
    }
    write_json(desk.submissions_dir / ".uploading.json", intent)
    if not arrived:
        kaggle.submissions.clear()
    kaggle.steps.clear()


def test_interrupted_between_upload_and_ledger_the_next_call_finds_it(
    desk: Desk, kaggle: Kaggle
) -> None:
    interrupt(desk, kaggle, arrived=True)
    code, out, _ = desk.submit()
    assert code == 0
    assert out.splitlines()[0] == (
        "an interrupted 'make submit' had uploaded this file: Kaggle lists it (1000)"
    )
    assert "PUT" not in kaggle.steps
    assert len(kaggle.submissions) == len(desk.ledger) == 1
    assert desk.ledger[0].endswith(",0.994,1000,complete,")


def test_interrupted_before_anything_arrived_the_next_call_uploads(
    desk: Desk, kaggle: Kaggle
) -> None:
    interrupt(desk, kaggle, arrived=False)
    assert desk.submit()[0] == 0
    assert kaggle.steps.count("PUT") == 1
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_interrupted_after_the_ledger_was_written_it_is_the_same_file_again(
    desk: Desk, kaggle: Kaggle
) -> None:
    desk.submit()
    row = desk.ledger
    interrupt(desk, kaggle, arrived=True)
    header = "time,run,file_sha256,cv_accuracy,public_score,ref,status,reason"
    (desk.submissions_dir / "ledger.csv").write_text("\n".join([header, *row]) + "\n")
    code, _, err = desk.submit()
    assert code == 1
    assert "the same file was uploaded on" in err
    assert "PUT" not in kaggle.steps


def test_interrupted_the_scores_find_it_too(desk: Desk, kaggle: Kaggle) -> None:
    interrupt(desk, kaggle, arrived=True)
    code, out, _ = desk.run("scores")
    assert code == 0
    assert "0.99400" in out
    assert len(desk.ledger) == 1


def test_a_kill_in_the_upload_leaves_the_note_that_the_next_call_needs(
    desk: Desk, kaggle: Kaggle
) -> None:
    class KillError(BaseException):
        pass

    def die(seconds: float) -> None:
        raise KillError

    kaggle.replies["CreateSubmission"] = [Reply(acts=True, cut=0)]
    run = stage.Run(desk.submissions_dir / "first")
    from digit_recognizer.remote.patience import Patience

    with pytest.raises(KillError):
        stage.submit(
            run,
            desk.submissions_dir,
            desk.data_dir,
            None,
            None,
            yes=True,
            force=False,
            ask=None,
            say=lambda line: None,
            patience=Patience(sleep=die),
        )
    assert read_json(desk.submissions_dir / ".uploading.json")["message"] == "first cv=0.99500"
    assert desk.ledger == []
    assert desk.submit()[0] == 0
    assert len(kaggle.submissions) == len(desk.ledger) == 1


def test_requests_have_the_documented_shape(desk: Desk, kaggle: Kaggle) -> None:
    desk.submit()
    bodies = {
        path.rsplit("/", 1)[-1]: body
        for path, _, body in kaggle.requests
        if not path.endswith("/1")
    }
    start = json.loads(bodies["StartSubmissionUpload"])
    assert start["competitionName"] == "digit-recognizer"
    assert start["fileName"] == "submission.csv"
    create = json.loads(bodies["CreateSubmission"])
    assert create["blobFileTokens"] == "blob-1"
