"""`make notebook`: run `walkthrough.py`, a script with cells, and write it with its results."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import Folders
from digit_recognizer.data.files import write_text
from digit_recognizer.errors import UserError

SCRIPT = Path(__file__).with_name("walkthrough.py")
TEMPLATE = Path(__file__).with_name("notebook.html.j2")
CELL_TIMEOUT = 600  # seconds


def notebook(*, folders: Folders = Folders()) -> None:
    """Run the whole workflow as a notebook."""
    echo(f"running {SCRIPT.name}: this takes about a minute")
    page = run_notebook(folders.submissions_dir)
    echo(f"to look at: {page}")
    echo(f"to change and run: {page.with_suffix('.ipynb')} (open it with JupyterLab or VS Code)")


def run_notebook(submissions_dir: Path, script: Path = SCRIPT) -> Path:
    """Run every cell of `script`; write ``<its name>.ipynb`` and ``.html``, return the latter."""
    import jupytext
    import nbformat

    book = jupytext.reads(script.read_text(encoding="utf-8"), fmt="py:percent")
    _execute(book)
    page = submissions_dir / f"{script.stem}.html"
    write_text(page.with_suffix(".ipynb"), nbformat.writes(book))  # type: ignore[no-untyped-call]
    write_text(page, notebook_page(book))
    return page


def notebook_page(book: Any) -> str:
    """Return a notebook with its results as one HTML file."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from digit_recognizer.report.html import render

    text = MarkdownIt()
    return render(
        TEMPLATE, data=None, cells=book.cells, markdown=lambda source: Markup(text.render(source))
    )


def _execute(book: Any) -> None:
    """Run the cells in a kernel whose working directory is temporary."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            book, timeout=CELL_TIMEOUT, kernel_name="python3", resources=resources
        )
        client.on_cell_start = lambda cell, cell_index: _tell(cell, cell_index, len(book.cells))
        manager = client.create_kernel_manager()
        if manager.kernel_spec:  # the user's own "python3" kernel may start another Python
            manager.kernel_spec.argv[0] = sys.executable
        # Sockets are files in this folder, which no other user of the machine can connect to.
        manager.transport = "ipc"
        manager.connection_file = str(Path(folder) / "kernel.json")
        try:
            # Otherwise IPython writes its history into the user's home.
            client.execute(env={**os.environ, "IPYTHONDIR": folder})
        except CellExecutionError as error:
            raise UserError(f"the notebook stopped: {error.ename}: {error.evalue}") from None


def _tell(cell: Any, index: int, n_cells: int) -> None:
    """Print the section that a cell begins, and how far the notebook is."""
    first_line = cell.source.partition("\n")[0]
    if cell.cell_type == "markdown" and first_line.startswith("## "):
        echo(f"cell {index + 1} of {n_cells}: {first_line[3:]}")
