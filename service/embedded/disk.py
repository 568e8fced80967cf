"""Errors about the data folder of the embedded servers."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import EmbeddedError

_NEEDED_MB = 256

# Messages of the three servers.
DISK_FULL = re.compile(
    "No space left on device|Check free disk space|not enough space", re.IGNORECASE
)


def disk_full_error(folder: Path) -> EmbeddedError:
    return EmbeddedError(f"The disk of {folder} is full: free at least {_NEEDED_MB} MB.")


@contextlib.contextmanager
def report_folder_errors(folder: Path) -> Iterator[None]:
    """Raises EmbeddedError for an OSError about the folder."""
    try:
        yield
    except OSError as error:
        raise folder_error(folder, error) from error


def folder_error(folder: Path, error: OSError) -> EmbeddedError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full_error(folder)
    return EmbeddedError(f"The folder {folder} cannot be used: {error.strerror or error}.")


def check_space(folder: Path) -> None:
    """Raises EmbeddedError if the disk is almost full: the servers would fail later."""
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < _NEEDED_MB * 1024 * 1024:
        raise disk_full_error(folder)
