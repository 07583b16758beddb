"""``python -m digit_recognizer`` and the console script ``digit-recognizer``."""

import sys

from digit_recognizer.cli import main


def run() -> None:
    """Run the command line and exit with its code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
