"""The part of filelock that this package uses: a kernel is alone on its machine."""

from os import PathLike
from typing import Any


class Timeout(Exception):  # noqa: N818 (filelock's name)
    """Never raised: nobody else holds a lock here."""


class FileLock:
    """A lock that is always free."""

    def __init__(self, lock_file: str | PathLike[str], timeout: float = -1) -> None:
        self.lock_file = lock_file

    def acquire(self, timeout: float | None = None) -> "FileLock":
        """Take the lock."""
        return self

    def release(self, force: bool = False) -> None:
        """Give the lock back."""

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_: Any) -> None:
        pass
