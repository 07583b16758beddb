"""``python -m digit_recognizer`` and the console script ``digit-recognizer``."""

import io
import sys

from digit_recognizer.cli import main


def run() -> None:
    """Run the command line and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # Windows' code pages lack a check mark
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())


if __name__ == "__main__":
    run()
