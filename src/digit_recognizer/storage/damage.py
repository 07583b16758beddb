"""What damaged files raise where they are read: one list for all who read them."""

import errno
import lzma
import struct
import zipfile
import zlib

# What JSON of another shape brings when it is taken for the expected one.
ODD_SHAPE = (LookupError, TypeError, ValueError, AttributeError)
# From zipfile and its decompressors; their NotImplementedError is a RuntimeError.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)


def is_bad_zip(error: BaseException) -> bool:
    """Whether an error in reading a zip is about its bytes, and not about the disk."""
    if isinstance(error, OSError):  # from bz2, which sets no number, or a place before the start
        return error.errno in (None, errno.EINVAL)
    return isinstance(error, _BAD_ZIP)
