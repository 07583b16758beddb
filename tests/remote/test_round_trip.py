"""Through `make` and a process of its own: nothing patched, the loopback server as a proxy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from remote.conftest import SECRET, Desk
from remote.loopback import Kaggle, refusal

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_download_submit_scores_and_doctor_through_make(
    desk: Desk, kaggle: Kaggle, home: Path
) -> None:
    shutil.rmtree(desk.data_dir)

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": kaggle.url,
            "no_proxy": "",
            "KAGGLE_USERNAME": "someone",
            "KAGGLE_KEY": SECRET,
        }
        folders = f"--data-dir '{desk.data_dir}' --submissions-dir '{desk.submissions_dir}'"
        done = subprocess.run(
            # -o: the environment that runs this test is ready, whatever its age.
            ["make", "-o", ".venv/.ready", f"RUN_PYTHON='{sys.executable}' -m digit_recognizer"]
            + [f"ARGS={folders}", *words],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert SECRET not in done.stdout + done.stderr
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
