"""Writer of archives: tar members in Zstandard frames that end at checkpoints."""

import tarfile
from collections.abc import AsyncIterator

import msgspec

from service.transfer.archive.destination import Destination

_BLOCK = 512
_LEVEL = 3
_OUTPUT_BYTES = 256 * 1024


class ArchiveWriter:
    """Appends members. Its bytes depend only on the members and the checkpoints."""

    def __init__(self, destination: Destination) -> None:
        # Loaded here: a keeper seldom writes an archive.
        import zstandard

        self._destination = destination
        self._end = zstandard.COMPRESSOBJ_FLUSH_FINISH
        self._frames = zstandard.ZstdCompressor(level=_LEVEL)
        self._frame = self._frames.compressobj()
        self._output = bytearray()

    async def add(self, name: str, content: bytes) -> None:
        """Appends a member."""

        async def read() -> AsyncIterator[bytes]:
            yield content

        await self.add_stream(name, len(content), read())

    async def add_stream(self, name: str, size: int, content: AsyncIterator[bytes]) -> None:
        """Appends a member of `size` bytes."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        await self._write(member.tobuf(tarfile.USTAR_FORMAT))
        written = 0
        async for block in content:
            written += len(block)
            await self._write(block)
        assert written == size, "a member has the size of its header"
        await self._write(bytes(-size % _BLOCK))

    async def checkpoint(self, state: msgspec.Struct) -> None:
        """Ends a frame. An interrupted export continues here."""
        await self._end_frame()
        self._frame = self._frames.compressobj()
        await self._destination.checkpoint(msgspec.json.encode(state))

    async def finish(self) -> None:
        """Ends the archive."""
        await self._write(bytes(2 * _BLOCK))
        await self._end_frame()
        await self._destination.finish()

    async def _write(self, data: bytes) -> None:
        self._output += self._frame.compress(data)
        if len(self._output) >= _OUTPUT_BYTES:
            await self._flush()

    async def _end_frame(self) -> None:
        self._output += self._frame.flush(self._end)
        await self._flush()

    async def _flush(self) -> None:
        output, self._output = bytes(self._output), bytearray()
        if output:
            await self._destination.write(output)
