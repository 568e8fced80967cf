"""Tuning of the memory allocators, the garbage collector and the limit of open files."""

import ctypes
import gc
import os
import resource
from contextlib import suppress

from service.logs import get_logger

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024
# jemalloc of the HTTP server: by default it keeps freed memory for 10 s.
_JEMALLOC_OPTIONS = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")
# Requests create no reference cycles, so frequent collections find nothing. With the default
# threshold, a collection runs with every request.
_GC_THRESHOLD = 20_000
# Files that are not connections of clients: database, store, uploads.
_OTHER_FILES = 512

log = get_logger(__name__)


def tune_allocator() -> None:
    """Makes the allocators return freed large buffers to the system soon.

    By default glibc raises its threshold when a large buffer is freed, and then keeps the peak
    memory of all uploads. Other C libraries have no such setting. Call this before importing the
    HTTP server: its allocator reads its options at import.
    """
    os.environ.setdefault(*_JEMALLOC_OPTIONS)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def freeze_gc() -> None:
    """Excludes all current objects, such as modules and routes, from garbage collection.

    Call it when the process is ready. Otherwise a full collection delays a request by 0.1 s now and
    then, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *gc.get_threshold()[1:])


def raise_file_limit(connections: int) -> None:
    """Raises the limit of open files as far as these connections need and the system allows."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("limit of open files too low", needed=needed, limit=hard)
