"""`make notebook`, as a user calls it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from digit_recognizer.errors import UserError
from digit_recognizer.extras.notebook.command import SCRIPT, run_notebook


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_with_plots_and_without_errors(
    tmp_path: Path,
) -> None:
    begun = time.monotonic()
    words = ["notebook", "--submissions-dir", str(tmp_path), "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-m", "digit_recognizer", *words],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 120
    book = nbformat.read(tmp_path / "walkthrough.ipynb", as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.execution_count for cell in cells)
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result"}
    plots = [output for output in outputs if "image/png" in output.data]
    assert len(plots) >= 8
    headings = [
        line for cell in book.cells for line in cell.source.splitlines() if line[:3] == "## "
    ]
    assert len(headings) >= 10
    assert [path.name for path in tmp_path.iterdir()] == ["walkthrough.ipynb"]


def test_a_cell_that_fails_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("# %%\nseven = 7\n\n# %%\nseven + 'eight'\n")
    with pytest.raises(UserError, match=r"the notebook stopped: TypeError: unsupported"):
        run_notebook(tmp_path / "submissions", script)
    assert not (tmp_path / "submissions").exists()


def test_the_script_is_short_enough_to_be_read_in_one_sitting() -> None:
    assert len(SCRIPT.read_text().splitlines()) < 350
