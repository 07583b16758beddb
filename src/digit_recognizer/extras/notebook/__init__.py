"""`make notebook`: run `walkthrough.py`, a script with cells, and write it with its results."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from digit_recognizer.commands.console import echo, spinner
from digit_recognizer.commands.options import Folders
from digit_recognizer.data.files import write_text
from digit_recognizer.errors import UserError

SCRIPT = Path(__file__).with_name("walkthrough.py")
TEMPLATE = Path(__file__).with_name("notebook.html.j2")


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
    from markdown_it import MarkdownIt

    from digit_recognizer.report.page import render

    book = jupytext.reads(script.read_text(encoding="utf-8"), fmt="py:percent")
    _execute(book)
    page = submissions_dir / f"{script.stem}.html"
    write_text(page.with_suffix(".ipynb"), nbformat.writes(book))  # type: ignore[no-untyped-call]
    write_text(page, render(TEMPLATE, data=None, cells=book.cells, markdown=MarkdownIt().render))
    return page


def _execute(book: Any) -> None:
    """Run the cells in a kernel whose working directory is temporary."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    with TemporaryDirectory() as folder:
        client = NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}})
        manager = client.create_kernel_manager()
        if manager.kernel_spec:  # the user's own "python3" kernel may start another Python
            manager.kernel_spec.argv[0] = sys.executable
        if os.name != "nt":  # pyzmq lacks these sockets there
            # They are files in this folder: over TCP, the kernel warns of eavesdroppers.
            manager.transport = "ipc"
            manager.connection_file = str(Path(folder) / "kernel.json")
        try:
            with spinner("starting a kernel") as show:
                client.on_cell_start = lambda cell, cell_index: show(
                    f"cell {cell_index + 1} of {len(book.cells)}"
                )
                # Otherwise IPython writes its history into the user's home.
                client.execute(env={**os.environ, "IPYTHONDIR": folder})
        except CellExecutionError as error:
            raise UserError(f"the notebook stopped: {error.ename}: {error.evalue}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            fault = f"the notebook's kernel failed ({type(error).__name__})"
            raise UserError(f"{fault}: free memory, then repeat the command") from None
