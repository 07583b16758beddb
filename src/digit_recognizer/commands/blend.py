"""``blend``: average finished runs into a new one."""

from typing import Annotated

from cyclopts import Parameter

from digit_recognizer.commands.options import Folders
from digit_recognizer.commands.train import print_results


def blend(
    *,
    runs: Annotated[str, Parameter(help="finished runs, with spaces between them")],
    run: Annotated[str, Parameter(help="the blend's name")],
    folders: Folders = Folders(),
) -> None:
    """Average finished runs into a new one."""
    from digit_recognizer.runs.ensemble import blend as average

    print_results(average(folders.data_dir, folders.submissions_dir, runs.split(), run))
