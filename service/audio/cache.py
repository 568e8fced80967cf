"""AudioCache: bounded cache of recently stored audio on the local disk."""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from service.audio.spool import BLOCK_BYTES, Spool

# Shorter than the time after which the keeper deletes removed audio, which is a day or more.
MAX_AGE_S = 3600
# A thread costs more than a copy of this size in the memory of the kernel.
_INLINE_BYTES = 128 * 1024
# A large file must not evict many small ones.
_MAX_SHARE = 8


class _Entry(msgspec.Struct, frozen=True):
    position: int
    size: int
    expires_at: float


class AudioCache:
    """Keeps the newest audio in one temporary file of at most `max_bytes`, by object key.

    The file is a ring: the oldest entries are overwritten first. It has no name, so it never
    outlives its process. Objects are never overwritten, so an entry is never stale. It expires
    after MAX_AGE_S. If the disk is full, nothing is added. `clock` is monotonic.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `__exit__` closes it
        self._position = 0
        # In the order of writing, which is the order of the ring.
        self._entries: dict[str, _Entry] = {}
        self._index_lock = threading.Lock()
        self._write_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._write_lock:
            self._max_bytes = 0
            self._entries.clear()
            self._file.close()

    async def add(self, key: str, spool: Spool) -> None:
        """Copies stored audio. Without space on the disk it does nothing."""
        if 0 < spool.size <= self._max_bytes // _MAX_SHARE:
            # ValueError: the request was cancelled and has closed its spool.
            with suppress(OSError, ValueError):
                is_small = spool.in_memory and spool.size <= _INLINE_BYTES
                if is_small and not self._write_lock.locked():
                    self._write(key, spool)
                else:
                    await asyncio.to_thread(self._write, key, spool)

    async def read(self, key: str, start: int, length: int) -> bytes | None:
        """Returns a part of an object, or None if the cache does not have the part."""
        entry = self._get(key)
        if entry is None or start + length > entry.size:
            return None
        read = partial(os.pread, self._file.fileno(), length, entry.position + start)
        try:
            block = read() if length <= _INLINE_BYTES else await asyncio.to_thread(read)
        except (OSError, ValueError):
            return None
        # The entry may have been overwritten during the read.
        return block if len(block) == length and self._get(key) is entry else None

    def remove(self, key: str) -> None:
        with self._index_lock:
            self._entries.pop(key, None)

    def _get(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and self._clock() < entry.expires_at else None

    def _write(self, key: str, spool: Spool) -> None:
        with self._write_lock:
            start = position = self._reserve(spool.size)
            while position < start + spool.size:
                block = spool.read_at(position - start, BLOCK_BYTES)
                position += os.pwrite(self._file.fileno(), block, position)
            with self._index_lock:
                self._entries[key] = _Entry(start, spool.size, self._clock() + MAX_AGE_S)

    def _reserve(self, size: int) -> int:
        """Returns the position of `size` free bytes, after removing the entries there."""
        with self._index_lock:
            if self._position + size > self._max_bytes:
                self._remove_between(self._position, self._max_bytes)
                self._position = 0
            start, self._position = self._position, self._position + size
            self._remove_between(start, self._position)
        return start

    def _remove_between(self, start: int, end: int) -> None:
        """Removes entries that begin in this part of the ring, which are the oldest ones."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if not start <= entry.position < end:
                return
            del self._entries[key]
