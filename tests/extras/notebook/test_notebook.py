"""`make notebook`, as a user calls it."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from support.browser import Visit
from support.runner import run

from digit_recognizer.errors import UserError
from digit_recognizer.extras.notebook import SCRIPT, run_notebook


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_is_a_page_too(tmp_path: Path) -> None:
    done = run("notebook", tmp_path)
    assert done.returncode == 0, done.stderr
    submissions = tmp_path / "submissions"
    book = nbformat.read(submissions / "walkthrough.ipynb", as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.execution_count for cell in cells)
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result"}
    assert {path.suffix for path in submissions.iterdir()} == {".html", ".ipynb"}
    page = (submissions / "walkthrough.html").read_text(encoding="utf-8")
    assert (page.count("<img "), page.count("<h2>")) == (4, 9)


def test_a_cell_that_fails_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("# %%\nseven = 7\n\n# %%\nseven + 'eight'\n")
    with pytest.raises(UserError, match=r"the notebook stopped: TypeError: unsupported"):
        run_notebook(tmp_path / "submissions", script)
    assert not (tmp_path / "submissions").exists()


def test_a_notebook_is_also_a_page_with_its_text_code_plots_and_tables(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    script = tmp_path / "tiny.py"
    script.write_text(
        "# %% [markdown]\n# # Tiny\n\n# %% [markdown]\n# ## A *table*\n\n# %%\n"
        "import pandas as pd\n'<b>' < 'c'\npd.DataFrame({'seven': [7]})\n\n"
        "# %%\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    )
    page = run_notebook(tmp_path / "submissions", script)
    assert page.with_suffix(".ipynb").is_file()
    for dark, width in ((False, 1200), (True, 390)):
        opened = visit(page, dark=dark, width=width)
        assert opened.violations() == []
        assert opened.overflow() == 0
    shown = opened.page.locator("main")
    assert shown.locator("h2 em").inner_text() == "table"
    assert "'<b>' < 'c'" in shown.locator("code").first.inner_text()
    assert shown.locator("td").inner_text() == "7"
    assert shown.locator("img").evaluate("plot => plot.naturalWidth") > 100


def test_every_section_has_something_to_try() -> None:
    sections = SCRIPT.read_text().split("# ## ")[1:]
    assert [section.count("**Try it:**") for section in sections] == [1] * 9
