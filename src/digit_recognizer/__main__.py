"""``python -m digit_recognizer`` and the console script ``digit-recognizer``."""

import io
import os
import sys

from digit_recognizer.cli import main


def run() -> None:
    """Run the command line and exit with its code."""
    for name in ("stdin", "stdout", "stderr"):  # None where the shell closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # Windows' code pages lack a check mark
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())


if __name__ == "__main__":
    run()
