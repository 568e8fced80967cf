"""Locks on files that end with the process that holds them, however it ends."""

import asyncio
import fcntl
import os
from pathlib import Path

_PAUSE_S = 0.05


def try_lock(file: Path) -> int | None:
    """A descriptor that holds the lock until it and its copies are closed; None when taken."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


async def lock(file: Path, patience_s: float) -> int | None:
    """As `try_lock`, but waits for the holder to go."""
    for _ in range(int(patience_s / _PAUSE_S)):
        if (descriptor := try_lock(file)) is not None:
            return descriptor
        await asyncio.sleep(_PAUSE_S)
    return try_lock(file)
