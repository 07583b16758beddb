from pathlib import Path

import pytest
from support.runner import make_small


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for data and submissions; its dataset is ``small``."""
    place = tmp_path_factory.mktemp("place")
    make_small(place / "data")
    return place
