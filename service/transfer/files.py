"""Files of a source, opened below its folder without following symbolic links.

All functions block.
"""

import errno
import os
import stat
from pathlib import Path

BLOCK_BYTES = 256 * 1024


def open_below(root: Path, names: tuple[str, ...]) -> int:
    """Opens a file for reading. No name may be a path or a symbolic link. Raises OSError."""
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        # O_NONBLOCK: opening a pipe must not wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            following = os.open(name, flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


def read_below(root: Path, names: tuple[str, ...], position: int) -> bytes:
    """Returns the next block of a regular file, empty at its end. Raises OSError."""
    descriptor = open_below(root, names)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        return os.pread(descriptor, BLOCK_BYTES, position)
    finally:
        os.close(descriptor)


def printable_path(*names: str) -> str:
    """Returns a path for the report. Bytes in its names that cannot be printed are escaped."""
    text = os.fsencode("/".join(names)).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
