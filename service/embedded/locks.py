"""File locks that are released when their process ends."""

import asyncio
import fcntl
import os
from pathlib import Path

_POLL_S = 0.05


def try_lock(file: Path) -> int | None:
    """Returns a descriptor that holds the lock until it and its copies are closed, or None."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


async def wait_for_lock(file: Path, timeout_s: float) -> int | None:
    """Waits for the lock; returns None after `timeout_s`."""
    for _ in range(int(timeout_s / _POLL_S)):
        if (descriptor := try_lock(file)) is not None:
            return descriptor
        await asyncio.sleep(_POLL_S)
    return try_lock(file)
