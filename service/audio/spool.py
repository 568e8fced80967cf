"""Spool: buffer of one upload, in memory first, then in a temporary file."""

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import IO, ClassVar, Self, TypeVar

from service.domain.audio_errors import AudioTooLarge
from service.domain.errors import StorageUnavailable

MEMORY_BYTES = 1024 * 1024
BLOCK_BYTES = 256 * 1024
HEAD_BYTES = 4096
# Shared by all open spools. If many are open, each moves to a file at a smaller size, which is at
# least BLOCK_BYTES.
_TOTAL_MEMORY_BYTES = 16 * 1024 * 1024

Result = TypeVar("Result")


class Spool:
    """Buffers at most `limit` bytes and computes their SHA-256. `head` has the first HEAD_BYTES.

    At most MEMORY_BYTES stay in memory, and fewer while many spools are open. A larger upload
    moves to a temporary file without a name, so the file never outlives its process. Writes raise
    AudioTooLarge beyond the limit, and StorageUnavailable if the disk is full. Use it in a `with`
    statement.
    """

    _open_count: ClassVar[int] = 0

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.head = b""
        self.limit = limit
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._closed = False
        # A cancelled request closes its spool while a thread may still use the file. Without the
        # lock that thread could use a file descriptor that already belongs to another request.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        Spool._open_count += 1
        return self

    def __exit__(self, *_: object) -> None:
        Spool._open_count -= 1
        self.close()

    async def write(self, chunk: bytes) -> None:
        if self.size + len(chunk) > self.limit:
            raise AudioTooLarge(self.limit)
        self.size += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._digest.update(chunk)
        self._buffer += chunk
        if len(self._buffer) > (self._memory_limit() if self._file is None else BLOCK_BYTES):
            await _run_in_thread(self._write_to_file)

    @property
    def in_memory(self) -> bool:
        """True until the spool moves to a file. Reads from memory do not block."""
        return self._file is None

    def sha256(self) -> bytes:
        return self._digest.digest()

    def body(self) -> bytes | AsyncIterator[bytes]:
        """Returns the upload as bytes, or as a stream if it is in a file. Can be called again."""
        return bytes(self._buffer) if self._file is None else self._read_chunks()

    def read_at(self, position: int, length: int) -> bytes:
        """Returns at most `length` bytes from `position`. Blocks if the spool is in a file."""
        with self._lock:
            if self._closed:
                raise ValueError("the spool is closed")
            if self._file is None:
                return bytes(self._buffer[position : position + length])
            self._flush(self._file)
            return os.pread(self._file.fileno(), length, position)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._buffer = bytearray()
            if self._file is not None:
                self._file.close()

    async def _read_chunks(self) -> AsyncIterator[bytes]:
        position = 0
        while position < self.size:
            block = await _run_in_thread(self.read_at, position, BLOCK_BYTES)
            position += len(block)
            yield block

    def _memory_limit(self) -> int:
        share = min(_TOTAL_MEMORY_BYTES // max(Spool._open_count, 1), MEMORY_BYTES)
        return max(share, BLOCK_BYTES)

    def _write_to_file(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
            self._flush(self._file)

    def _flush(self, file: IO[bytes]) -> None:
        if self._buffer:
            file.write(self._buffer)
            file.flush()
            self._buffer = bytearray()


class BytesNotFetched(Exception):
    """The bytes are not in the fetched start of the audio."""


class StartSpool(Spool):
    """First bytes of stored audio of `size` bytes. Reads beyond them raise BytesNotFetched."""

    def __init__(self, size: int, start: bytes) -> None:
        super().__init__(size)
        self.size = size
        self.head = start[:HEAD_BYTES]
        self._buffer = bytearray(start)

    def read_at(self, position: int, length: int) -> bytes:
        # Readers request whole blocks, but need at most HEAD_BYTES of one.
        if position + HEAD_BYTES > len(self._buffer) < self.size:
            raise BytesNotFetched
        return super().read_at(position, length)


async def _run_in_thread(function: Callable[..., Result], *args: int) -> Result:
    try:
        return await asyncio.to_thread(function, *args)
    except OSError as error:
        raise StorageUnavailable(f"temporary file: {error.strerror}") from error
