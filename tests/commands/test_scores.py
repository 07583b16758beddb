"""`make scores` and the ledger."""

import pytest
from support.desk import Desk, make_run
from support.loopback import Kaggle, refusal

from digit_recognizer.errors import FileError
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry


def test_a_score_that_came_later_is_fetched_and_tabled(
    desk: Desk, kaggle: Kaggle, key: None
) -> None:
    kaggle.verdict = {"status": "PENDING"}
    desk.submit()
    assert "0.99300 to 0.99700  pending" in desk.ok("scores")
    kaggle.submissions[0].update(status="COMPLETE", publicScore="0.99400")
    make_run(desk, "second", cv=0.99, seed=1)
    out = desk.ok("scores")
    header, first, second = [" ".join(line.split()) for line in out.splitlines()]
    assert header.startswith(
        "run dataset recipe members CV accuracy expected score public score training min"
    )
    assert first.startswith(
        "first digit-recognizer default 0/4 0.99500 0.99300 to 0.99700 0.99400 "
    )
    assert second.startswith("second digit-recognizer default 0/4 0.99000 0.98800 to 0.99200 - ")
    assert desk.ledger[0].endswith(",0.994,1000,complete,")


def test_without_credentials_the_table_is_that_of_the_ledger(
    desk: Desk, kaggle: Kaggle, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.submit()
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    out = desk.ok("scores")
    assert out.startswith("nothing was fetched: no Kaggle credentials found ('make doctor' helps)")
    assert "0.99400" in out


def test_when_kaggle_fails_the_table_is_shown_and_the_failure_told(
    desk: Desk, kaggle: Kaggle, key: None
) -> None:
    desk.submit()
    kaggle.replies["ListSubmissions"] = [refusal(500)] * 3
    code, out, err = desk.run("scores")
    assert (code, err) == (1, "error: Kaggle cannot answer now (500): repeat the command later\n")
    assert "0.99400" in out


def test_what_is_put_into_the_ledger_comes_out_again(desk: Desk) -> None:
    ledger = Ledger(desk.submissions_dir)
    scored = LedgerEntry("2026-01-01", 'a,"b"', "f", 1, "complete", public_score=0.5)
    failed = LedgerEntry("2026-01-02", "c", "f", 2, "error", reason="one,\ntwo")
    ledger.add(scored)
    ledger.add(failed)
    assert ledger.entries() == [scored, failed]


def test_a_damaged_ledger_is_one_line(desk: Desk) -> None:
    (desk.submissions_dir / "ledger.csv").write_text("a,b\n1,2\n")
    path = desk.submissions_dir / "ledger.csv"
    assert desk.fail("scores") == f"{path}: line 2: time: field required: fix it, or move it away"


def test_two_at_a_time_are_refused(desk: Desk) -> None:
    first, second = Ledger(desk.submissions_dir), Ledger(desk.submissions_dir)
    with first.lock(), pytest.raises(FileError, match="is running"), second.lock():
        pass
