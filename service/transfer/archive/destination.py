"""Destinations of an archive. One that was interrupted continues at its last checkpoint."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec


class ExportFailed(Exception):
    """The export cannot be written. The text says what to do next."""


class Destination(Protocol):
    """Destination of the bytes of an archive."""

    @property
    def state(self) -> bytes | None:
        """Returns the state of the last checkpoint; None at the start."""

    async def write(self, data: bytes) -> None:
        """Appends bytes."""

    async def checkpoint(self, state: bytes) -> None:
        """Makes the bytes and `state` durable; the destination may defer it."""

    async def finish(self) -> None:
        """Makes the archive visible under its name, and deletes the state."""


class _FileState(msgspec.Struct, frozen=True):
    """Content of the state file: the size of the part file, and the state of the export."""

    size: int
    state: msgspec.Raw


class FileDestination:
    """File that has the name `FILE.part` until it is complete, beside `FILE.part.state`."""

    def __init__(self, path: Path, part: IO[bytes]) -> None:
        self._path = path
        self._part = part
        self._state_path = path.with_name(f"{path.name}.part.state")
        self._state: bytes | None = None
        self._restore()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["FileDestination"]:
        """Opens a new file, or continues one. Only its owner can read it: it contains PINs.

        Raises ExportFailed when the file exists, or when another process writes it.
        """
        with _open_part(path) as part:
            yield cls(path, part)

    @property
    def state(self) -> bytes | None:
        return self._state

    def _restore(self) -> None:
        """Discards the bytes after the last checkpoint."""
        size = 0
        if self._state_path.exists():
            stored = msgspec.json.decode(self._state_path.read_bytes(), type=_FileState)
            size, self._state = stored.size, bytes(stored.state)
        if self._part.seek(0, os.SEEK_END) < size:
            raise ExportFailed(
                f"{self._path}.part is shorter than its state; delete both and start again."
            )
        self._part.truncate(size)
        self._part.seek(size)

    async def write(self, data: bytes) -> None:
        try:
            self._part.write(data)
        except OSError as error:
            raise ExportFailed(f"{self._path} cannot be written: {error.strerror}.") from None

    async def checkpoint(self, state: bytes) -> None:
        await asyncio.to_thread(self._save, state)

    async def finish(self) -> None:
        await asyncio.to_thread(self._finish)

    def _save(self, state: bytes) -> None:
        try:
            self._sync()
            stored = _FileState(self._part.tell(), msgspec.Raw(state))
            replacement = self._state_path.with_suffix(".new")
            replacement.write_bytes(msgspec.json.encode(stored))
            replacement.replace(self._state_path)
        except OSError as error:
            raise ExportFailed(f"{self._path} cannot be written: {error.strerror}.") from None

    def _finish(self) -> None:
        self._sync()
        os.replace(f"{self._path}.part", self._path)
        self._state_path.unlink(missing_ok=True)

    def _sync(self) -> None:
        self._part.flush()
        os.fsync(self._part.fileno())


def _open_part(path: Path) -> IO[bytes]:
    """Opens and locks the part file."""
    if path.exists():
        raise ExportFailed(f"{path} exists; choose another file or delete it.")
    part_path = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(part_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ExportFailed(f"{part_path} cannot be written: {error.strerror}.") from None
    part = os.fdopen(descriptor, "r+b")
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        part.close()
        raise ExportFailed(f"Another process is writing {part_path}.") from None
    return part
