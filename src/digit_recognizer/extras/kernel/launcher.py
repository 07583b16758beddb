"""The script that Kaggle runs: it unpacks the package inside it and trains with it.

`archive.py` fills in PACKED and REQUEST. The script imports the standard library only, and nothing
is installed: the image must have what is in NEEDED (torch itself requires filelock and jinja2).
"""

import base64
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

PACKED = ""
REQUEST = "{}"

INPUTS = ("digit-recognizer", "competitions/digit-recognizer")
FILES = ("train.csv", "test.csv", "sample_submission.csv")
NEEDED = "albumentations cv2 numpy pandas pydantic rich safetensors scipy sklearn torch"


def main() -> None:
    """Train; leave ``run.zip`` and ``submission.csv`` in the working folder."""
    missing = [module for module in NEEDED.split() if find_spec(module) is None]
    if missing:
        names = ", ".join(missing)
        raise SystemExit(f"error: Kaggle's Docker image lacks {names}: the run was not started")
    source = find_data([folder_of("input"), Path.cwd()])
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
        code = train(Path(folder), source, folder_of("working"))
    if code:
        raise SystemExit(f"error: the run failed (exit code {code}): see above")


def folder_of(name: str) -> Path:
    """Return Kaggle's folder; elsewhere, as on Colab, the current one."""
    on_kaggle = Path("/kaggle", name)
    return on_kaggle if on_kaggle.is_dir() else Path.cwd()


def find_data(inputs: list[Path]) -> Path:
    """Return the folder with the competition's files, under one of the names Kaggle has used."""
    folders = [folder / name for folder in inputs for name in INPUTS]
    for folder in folders:
        if all((folder / name).is_file() for name in FILES):
            return folder
    raise SystemExit(
        f"error: the competition's data is neither in {folders[0]} nor in {folders[1]}: accept its"
        " rules on Kaggle and add it as input, or, on Colab, upload its files to"
        f" {Path.cwd() / INPUTS[0]}"
    )


def train(folder: Path, source: Path, output: Path) -> int:
    """Unpack into `folder` and train in a new process, whose workers can import its module."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(PACKED))) as archive:
        archive.extractall(folder / "package")
    module = "digit_recognizer.extras.kernel.on_kaggle"
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", module, REQUEST, str(source), str(folder), str(output)],
        cwd=folder / "package",
        env={**os.environ, "PYTHONPATH": str(folder / "package")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    # A notebook shows only what its own process prints.
    with process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
    return process.returncode


if __name__ == "__main__":
    main()
