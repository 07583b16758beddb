"""Through `make` and a process of its own: nothing patched, the loopback server as a proxy."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.desk import REPOSITORY, SECRET, Desk, environment_of
from support.loopback import Kaggle, Reply, refusal

SUBMIT = (sys.executable, "-m", "digit_recognizer", "submit")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_download_and_submit_through_make(desk: Desk, kaggle: Kaggle, home: Path) -> None:
    def make(*words: str) -> str:
        folders = " ".join(f"'{folder}'" for folder in desk.folders)
        program = f"RUN_PYTHON='{sys.executable}' -m digit_recognizer"
        done = subprocess.run(
            # -o: the environment that runs this test is ready, whatever its age.
            ["make", "-o", ".venv/.ready", program, f"ARGS={folders}", *words],
            cwd=REPOSITORY,
            env=environment_of(kaggle),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        for word in (SECRET, "DEBUG", "Traceback"):
            assert word not in done.stdout + done.stderr
        return done.stdout

    shutil.rmtree(desk.data_dir)
    kaggle.replies["DownloadDataFiles"] = [refusal(429, "slow down", Retry_After="0")]
    make("download")
    assert (desk.data_dir / "digit-recognizer" / "source.json").exists()

    out = make("submit", "YES=1", 'MESSAGE=it\'s "mine"')
    assert "inside the expected 0.99300 to 0.99700" in out
    assert [item["description"] for item in kaggle.submissions] == ['it\'s "mine"']
    assert len(desk.ledger) == 1
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("answer", "n_uploads"), [("y", 1), ("n", 0)])
def test_on_a_terminal_the_user_is_asked(
    desk: Desk, kaggle: Kaggle, answer: str, n_uploads: int
) -> None:
    master, slave = os.openpty()
    os.write(master, f"{answer}\n".encode())
    done = subprocess.run(
        [*SUBMIT, *desk.folders],
        env=environment_of(kaggle),
        stdin=slave,
        capture_output=True,
        text=True,
    )
    os.close(master)
    os.close(slave)
    assert (done.returncode, done.stderr) == (0, "")
    assert "upload it? [y/N]" in done.stdout
    assert ("nothing was uploaded" in done.stdout) == (answer == "n")
    assert len(kaggle.submissions) == n_uploads


def test_killed_between_upload_and_ledger_it_is_found_not_sent_again(
    desk: Desk, kaggle: Kaggle, key: None
) -> None:
    kaggle.replies["CreateSubmission"] = [Reply(acts=True, hang=True)]
    process = subprocess.Popen(
        [*SUBMIT, *desk.folders, "--yes"], env=environment_of(kaggle), stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 30
    while not kaggle.submissions and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert len(kaggle.submissions) == 1
    assert desk.ledger == []
    assert desk.submit().startswith("an interrupted 'make submit' had uploaded this file")
    assert kaggle.steps.count("CreateSubmission") == 1
    assert len(desk.ledger) == 1
