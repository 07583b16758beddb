import shutil
from dataclasses import replace

import pytest

from digit_recognizer.runs.answering import PRETRAINED
from digit_recognizer.runs.run import Run


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shipped networks as a finished run ``submissions/drawing``, as if of the sample."""
    run = Run(tmp_path_factory.mktemp("place") / "submissions" / "drawing")
    shutil.copytree(PRETRAINED.run_dir, run.run_dir)
    replace(run.environment(), source="sample").write(run.environment_path)
    return run
