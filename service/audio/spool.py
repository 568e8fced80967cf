"""Spool: one upload as it arrives, in memory while small, beyond that in a temporary file."""

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import IO, ClassVar, Self, TypeVar

from service.domain.errors import AudioTooLarge, StorageUnavailable

MEMORY_BYTES = 1024 * 1024
BLOCK_BYTES = 256 * 1024
# What those that are open share: a crowd of them goes to files sooner, though not before a block.
_ALL_MEMORY_BYTES = 16 * 1024 * 1024

Result = TypeVar("Result")


class Spool:
    """Collects at most `limit` bytes and knows their number and SHA-256 at any time.

    The first MEMORY_BYTES stay in memory, fewer in a crowd. Beyond that everything lies in a
    temporary file that has no name, so that it ends with its process. Writes raise AudioTooLarge
    at the first byte too many, and StorageUnavailable when the disk takes no more. Use it in a
    `with` statement.
    """

    _open: ClassVar[int] = 0

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.limit = limit
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._file: IO[bytes] | None = None
        self._closed = False
        # A cancelled request closes its spool while a thread may still be busy with the file;
        # without the lock that thread could meet a file descriptor that belongs to another request.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        Spool._open += 1
        return self

    def __exit__(self, *_: object) -> None:
        Spool._open -= 1
        self.close()

    async def write(self, chunk: bytes) -> None:
        if self.size + len(chunk) > self.limit:
            raise AudioTooLarge(self.limit)
        self.size += len(chunk)
        self._digest.update(chunk)
        self._pending += chunk
        if len(self._pending) > (self._share() if self._file is None else BLOCK_BYTES):
            await _off_the_loop(self._spill)

    @property
    def in_memory(self) -> bool:
        """Whether nothing of it lies in a file, so that reading does not block."""
        return self._file is None

    def sha256(self) -> bytes:
        return self._digest.digest()

    def body(self) -> bytes | AsyncIterator[bytes]:
        """The whole upload: its bytes while it is small, else a stream; may be asked for again."""
        return bytes(self._pending) if self._file is None else self._chunks()

    def read_at(self, position: int, length: int) -> bytes:
        """At most `length` bytes from `position`. Blocks when they lie in the file."""
        with self._lock:
            if self._closed:
                raise ValueError("the spool is closed")
            if self._file is None:
                return bytes(self._pending[position : position + length])
            self._flush(self._file)
            return os.pread(self._file.fileno(), length, position)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._pending = bytearray()
            if self._file is not None:
                self._file.close()

    async def _chunks(self) -> AsyncIterator[bytes]:
        position = 0
        while position < self.size:
            block = await _off_the_loop(self.read_at, position, BLOCK_BYTES)
            position += len(block)
            yield block

    def _share(self) -> int:
        share = min(_ALL_MEMORY_BYTES // max(Spool._open, 1), MEMORY_BYTES)
        return max(share, BLOCK_BYTES)

    def _spill(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
            self._flush(self._file)

    def _flush(self, file: IO[bytes]) -> None:
        if self._pending:
            file.write(self._pending)
            file.flush()
            self._pending = bytearray()


async def _off_the_loop(work: Callable[..., Result], *args: int) -> Result:
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as problem:
        raise StorageUnavailable(f"temporary file: {problem.strerror}") from problem
