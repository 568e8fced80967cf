"""How a process gives back memory that it needs no more: the one place that tunes the C library."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024


def give_back_memory() -> None:
    """Has large buffers go back to the system as soon as they are freed.

    Left alone, glibc takes the first one that is freed for a sign of more to come, and from then on
    keeps what the largest crowd of uploads has needed. Other C libraries have no such setting.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
