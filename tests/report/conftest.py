import pytest
from support.runner import make_small
from support.written_runs import write_run

from digit_recognizer.report.page import write_report
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.run import Run


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 2 folds and 2 seeds with its report; some of its rows are errors."""
    place = tmp_path_factory.mktemp("reported")
    make_small(place / "data")
    run = write_run(place, "seen", skill=2.5, n_seeds=2, epochs=4)
    write_report(RunResults.read(run, place / "data"))
    return run
