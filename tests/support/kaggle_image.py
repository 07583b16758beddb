"""A machine like Kaggle's: an interpreter of its own and a working folder, which has the data."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

from digit_recognizer.data.competition import DATA_FILES
from digit_recognizer.extras.kernel.archive import kernel_script
from digit_recognizer.runs.request import Request

RUN = "from-kaggle"
# What training on Kaggle must do without; its image lacks some of them.
ABSENT = ("digit_recognizer", "kaggle", "kagglesdk", "requests", "cyclopts", "tenacity", "cleanlab")


def make_interpreter(place: Path, absent: tuple[str, ...] = ABSENT) -> Path:
    """A fresh environment that has every package of this one but `absent`."""
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    site = next(place.glob("lib/python*/site-packages"))
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = path.name.split("-")[0].lower()
        if name not in absent and not path.name.startswith("__editable__"):
            (site / path.name).symlink_to(path)
    return python


def put_data(source: Path, folder: Path) -> None:
    """The competition's three files, read-only, and nothing else."""
    folder.mkdir(parents=True)
    for name in DATA_FILES:
        (folder / name).symlink_to(source / name)


def run_script(
    python: Path, place: Path, request: Request, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the packed script in the folder `working` of `place`, as Kaggle would."""
    (place / "working").mkdir(parents=True, exist_ok=True)
    path = place / "script.py"
    path.write_text(kernel_script(RUN, request), encoding="utf-8")
    folders = {"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place)}
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}  # also where there is one
    return subprocess.run(
        [python, "-I", path],
        cwd=place / "working",
        env={**folders, **no_gpu, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
    )
