"""How a process treats its memory: the one place that tunes the C library and the collector."""

import ctypes
import gc
import os
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024
# The HTTP server has an allocator of its own, which by default keeps for 10 s what was freed.
_SERVER_ALLOCATOR = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")
# A request leaves no cycles, so there is next to nothing to find: by default it is looked for with
# every request.
_NEW_OBJECTS_UNTIL_A_LOOK = 20_000


def tune_allocator() -> None:
    """Has large buffers go back to the system soon after they are freed.

    Left alone, glibc takes the first one that is freed for a sign of more to come, and from then on
    keeps what the largest crowd of uploads has needed. Other C libraries have no such setting. To
    be called before the HTTP server is imported: that is when its allocator reads its settings.
    """
    os.environ.setdefault(*_SERVER_ALLOCATOR)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def freeze_gc() -> None:
    """Takes what is there now, modules and routes, out of the collector's sight, and has it look
    at the rest less often.

    To be called when a process is ready: else a request now and then waits while all of that is
    looked through, a tenth of a second, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_UNTIL_A_LOOK, *gc.get_threshold()[1:])
