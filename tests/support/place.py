from pathlib import Path

import pytest
from support.runner import make_small, train


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset and one finished run of it, called ``whole``."""
    place = tmp_path_factory.mktemp("place")
    make_small(place / "data")
    done = train(place, "whole")
    assert done.returncode == 0, done.stderr
    return place
