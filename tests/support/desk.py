import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kagglesdk import kaggle_env
from support import loopback
from support.small import write_small, zipped
from support.written_runs import ENVIRONMENT

from digit_recognizer import cli
from digit_recognizer.data.competition import write_submission
from digit_recognizer.data.files import write_json
from digit_recognizer.kaggle import retry
from digit_recognizer.runs.inference import PRETRAINED
from digit_recognizer.runs.metrics import CvReport, ExpectedScore

REPOSITORY = Path(__file__).parents[2]
SECRET = "s3cr3t-k3y"
N_TEST = 20


@dataclass
class Desk:
    """A user's folders, and the command line in this process."""

    data_dir: Path
    submissions_dir: Path
    pauses: list[float]
    capsys: pytest.CaptureFixture[str]

    def run(self, command: str, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command; no secret is in either."""
        self.capsys.readouterr()
        code = cli.main([command, *self.folders, *words])
        out, err = self.capsys.readouterr()
        assert SECRET not in out + err
        assert "Traceback" not in out + err
        return code, out, err

    def ok(self, command: str, *words: str) -> str:
        """Stdout of a command that succeeds."""
        code, out, err = self.run(command, *words)
        assert (code, err) == (0, "")
        return out

    def fail(self, command: str, *words: str) -> str:
        """The error of a command that fails, as one line, and its advice."""
        code, out, err = self.run(command, *words)
        assert code == 1
        assert out == "" or command != "download"
        assert err.startswith("error: ")
        return err.removeprefix("error: ").removesuffix("\n")

    def submit(self, *words: str) -> str:
        return self.ok("submit", "--yes", *words)

    def refuse(self, *words: str) -> str:
        return self.fail("submit", "--yes", *words)

    @property
    def folders(self) -> list[str]:
        return [f"--data-dir={self.data_dir}", f"--submissions-dir={self.submissions_dir}"]

    @property
    def file(self) -> Path:
        return self.submissions_dir / "first" / "submission.csv"

    @property
    def ledger(self) -> list[str]:
        path = self.submissions_dir / "ledger.csv"
        return path.read_text().splitlines()[1:] if path.exists() else []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; nobody answers for Kaggle, whose own server no test may reach."""
    point_to(monkeypatch, "http://127.0.0.1:9")
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    return folder


@pytest.fixture
def kaggle(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[loopback.Kaggle]:
    """The loopback Kaggle, in the place of the real one."""
    with loopback.serve() as server:
        point_to(monkeypatch, server.url)
        server.archive = make_archive()
        yield server


def point_to(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, url)


@pytest.fixture
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A legacy API key in the environment."""
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", SECRET)


@pytest.fixture
def desk(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """Folders with one finished run called ``first``; three attempts, and pauses that are noted."""
    pauses: list[float] = []
    quick = retry.RetryPolicy(
        connect_timeout=30, read_timeout=30, attempts=3, poll_timeout=20, sleep=pauses.append
    )
    monkeypatch.setattr(retry, "RETRY_POLICY", quick)
    desk = Desk(tmp_path / "data", tmp_path / "submissions", pauses, capsys)
    make_run(desk, "first")
    return desk


@pytest.fixture
def shelf_desk(shelf: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The shelf's folders, and whatever runs they hold."""
    return Desk(shelf / "data", shelf / "submissions", [], capsys)


def make_run(desk: Desk, name: str, cv: float = 0.995, seed: int = 0, **environment: Any) -> Path:
    """A finished run's files, as `make train` leaves them, and its dataset's sample."""
    dataset = desk.data_dir / "digit-recognizer"
    write_submission(dataset / "sample_submission.csv", np.zeros(N_TEST, dtype=np.int64))
    folder = desk.submissions_dir / name
    trained_on = "sample" if environment.get("source") == "sample" else "digit-recognizer"
    write_json(folder / "recipe.json", {"dataset": trained_on, "recipe": "default"})
    facts = replace(ENVIRONMENT, **{"source": "kaggle", "may_submit": True, **environment})
    write_json(folder / "environment.json", facts)
    labels = np.random.default_rng(seed).integers(0, 10, N_TEST)
    write_submission(folder / "submission.csv", labels)
    (folder / "oof.csv").write_text("")
    write_json(folder / "cv.json", cv_report(cv, facts.may_submit))
    return folder


def cv_report(cv: float, may_submit: bool) -> CvReport:
    """Real scores, but with this CV accuracy, whose interval is 0.002 wide."""
    return replace(
        PRETRAINED.cv(),
        cv_accuracy=cv,
        cv_interval=(cv - 0.001, cv + 0.001),
        expected_score=ExpectedScore(cv - 0.002, cv, min(1.0, cv + 0.002), 0.0, 0.0),
        may_submit=may_submit,
    )


def make_archive() -> bytes:
    """The competition's zip with 60 + 20 rows, 2.5 MB that hardly compress, and an intruder."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_small(Path(name), 60, N_TEST)
        path = zipped(folder / "archive.zip", folder)
        with zipfile.ZipFile(path, "a") as bundle:
            bundle.writestr("../evil.csv", "")
            bundle.writestr("notes.bin", np.random.default_rng(0).bytes(2_500_000))
        return path.read_bytes()


def environment_of(kaggle: loopback.Kaggle) -> dict[str, str]:
    return {
        **os.environ,
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "http_proxy": kaggle.url,
        "no_proxy": "",
        "KAGGLE_USERNAME": "someone",
        "KAGGLE_KEY": SECRET,
        "VERBOSE": "1",  # would make the client write its log to stderr
    }
