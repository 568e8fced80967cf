"""What goes wrong with the folder that the embedded servers keep their data in."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import EmbeddedError

_NEEDED_MB = 256

# How the three servers say it.
FULL = re.compile("No space left on device|Check free disk space|not enough space", re.IGNORECASE)


def disk_full(folder: Path) -> EmbeddedError:
    return EmbeddedError(
        f"The disk that holds {folder} is full: the servers need {_NEEDED_MB} MB at least."
    )


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turns what the system says about the folder into one sentence."""
    try:
        yield
    except OSError as error:
        raise cannot_use(folder, error) from error


def cannot_use(folder: Path, error: OSError) -> EmbeddedError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder)
    return EmbeddedError(f"The folder {folder} cannot be used: {error.strerror or error}.")


def check_space(folder: Path) -> None:
    """Refuses to start on a disk so full that the servers would fail one by one and later."""
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < _NEEDED_MB * 1024 * 1024:
        raise disk_full(folder)
