"""No test sees the credentials or the home folder of whoever runs it."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from support.runner import MAKE_VARIABLES, make_small, trained

# A first example may import scikit-learn, and a busy machine is slow: no test measures speed.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# These call make, or need the signals, pseudo-terminals and permissions of POSIX.
POSIX_ONLY = (
    *("commands/test_console.py", "commands/test_download.py", "data/test_files.py"),
    *("extras/kernel/test_kernel.py", "kaggle/test_client.py", "kaggle/test_round_trip.py"),
    *("test_crash.py", "test_make.py", "test_wheel.py"),
)
collect_ignore = POSIX_ONLY if os.name == "nt" else ()

pytest_plugins = ["support.browser", "support.desk"]

FOREIGN = ("KAGGLE_", "MAKE", "MFLAGS", "DIGIT_RECOGNIZER_", "FORCE_COLOR", "TTY_")


@pytest.fixture(autouse=True, scope="session")
def _no_credentials(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        # make hands its own command line down to every make below it; rich takes a pipe for a
        # terminal where these say so; urllib sends a request to this machine through a proxy;
        # make refuses its variables in the environment
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy") or name in MAKE_VARIABLES:
            del os.environ[name]
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME"):
        os.environ[name] = str(home)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a real GPU would give other bytes than the CPU
    os.environ["DIGIT_RECOGNIZER_MAKE"] = "1"  # most tests read messages as make's users do
    assert not list(Path(home).iterdir())


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A job in a shell's background ignores it, and so would every command that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """As members have; two OpenMP threads beside other work wait for each other for ever."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for data and submissions; its dataset is ``small``."""
    shelf = tmp_path_factory.mktemp("shelf")
    make_small(shelf / "data")
    return shelf


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset and one finished run of it, called ``whole``."""
    place = tmp_path_factory.mktemp("place")
    make_small(place / "data")
    trained(place, "whole")
    return place
