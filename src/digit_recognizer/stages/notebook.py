"""`make notebook`: the script with cells in `notebook/`, run and written with its results."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from digit_recognizer.storage.files import StorageError, write_text

SCRIPT = Path(__file__).parents[1] / "notebook" / "walkthrough.py"
LONGEST_CELL = 600  # seconds


class NotebookError(StorageError):
    """A cell of the notebook failed."""


def notebook(submissions_dir: Path, say: Callable[[str], None], script: Path = SCRIPT) -> Path:
    """Run every cell of `script` and write ``<its name>.ipynb`` into `submissions_dir`.

    Raises
    ------
    NotebookError
        If a cell fails; nothing is written then.
    """
    book = jupytext.reads(script.read_text(encoding="utf-8"), fmt="py:percent")
    say(f"running {script.name}: {len(book.cells)} cells")
    _run(book)
    path = submissions_dir / f"{script.stem}.ipynb"
    write_text(path, nbformat.writes(book))  # type: ignore[no-untyped-call]
    return path


def _run(book: Any) -> None:
    """Run the cells in a kernel of their own, in a folder that goes afterwards."""
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            book, timeout=LONGEST_CELL, kernel_name="python3", resources=resources
        )
        manager = client.create_kernel_manager()
        # Through files of this folder: nobody else on this machine can listen in.
        manager.transport = "ipc"
        manager.connection_file = str(Path(folder) / "kernel.json")
        try:
            # IPython would otherwise begin a history in the user's home.
            client.execute(env={**os.environ, "IPYTHONDIR": folder})
        except CellExecutionError as error:
            raise NotebookError(f"the notebook stopped: {error.ename}: {error.evalue}") from None
