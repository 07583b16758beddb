"""Through `make` and a process of its own: nothing patched, the loopback server as a proxy."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from remote.conftest import SECRET, Desk
from remote.loopback import Kaggle, Reply, refusal

REPOSITORY = Path(__file__).parents[2]


def environment_of(kaggle: Kaggle) -> dict[str, str]:
    return {
        **os.environ,
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "http_proxy": kaggle.url,
        "no_proxy": "",
        "KAGGLE_USERNAME": "someone",
        "KAGGLE_KEY": SECRET,
        "VERBOSE": "1",  # would make the client write its log to stderr
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_download_submit_scores_and_doctor_through_make(
    desk: Desk, kaggle: Kaggle, home: Path
) -> None:
    shutil.rmtree(desk.data_dir)

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        folders = f"--data-dir '{desk.data_dir}' --submissions-dir '{desk.submissions_dir}'"
        done = subprocess.run(
            # -o: the environment that runs this test is ready, whatever its age.
            [
                "make",
                "-o",
                ".venv/.ready",
                f"RUN_PYTHON='{sys.executable}' -m digit_recognizer",
                f"ARGS={folders}",
                *words,
            ],
            cwd=REPOSITORY,
            env=environment_of(kaggle),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert SECRET not in done.stdout + done.stderr
        assert "DEBUG" not in done.stderr
        assert "Traceback" not in done.stderr
        return done

    kaggle.replies["DownloadDataFiles"] = [refusal(429, "slow down", Retry_After="0")]
    done = make("download")
    assert done.returncode == 0, done.stderr
    assert (desk.data_dir / "digit-recognizer" / "source.json").exists()

    done = make("submit")
    assert done.returncode == 2
    assert "nothing was uploaded: there is no terminal to ask: give YES=1" in done.stderr
    assert kaggle.submissions == []

    done = make("submit", "YES=1", 'MESSAGE=it\'s "mine"')
    assert done.returncode == 0, done.stderr
    assert "inside the expected 0.99300 to 0.99700" in done.stdout
    assert [item["description"] for item in kaggle.submissions] == ['it\'s "mine"']
    assert len(desk.ledger) == 1

    assert "0.99400" in make("scores").stdout
    done = make("doctor")
    assert done.returncode == 0, done.stdout
    assert list(home.iterdir()) == []


def test_killed_between_upload_and_ledger_it_is_found_not_sent_again(
    desk: Desk, kaggle: Kaggle, key: None
) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, hang=True)]
    words = ["--data-dir", desk.data_dir, "--submissions-dir", desk.submissions_dir, "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "digit_recognizer", "submit", *words],
        env=environment_of(kaggle),
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while not kaggle.submissions and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert len(kaggle.submissions) == 1
    assert desk.ledger == []
    code, out, _ = desk.submit()
    assert code == 0
    assert out.startswith("an interrupted 'make submit' had uploaded this file")
    assert kaggle.steps.count("CreateSubmission") == 1
    assert len(desk.ledger) == 1
