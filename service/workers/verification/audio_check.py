"""Check of audio: reads objects and compares size, SHA-256 and format with their rows."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.audio.inspection import inspect
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.audio_errors import AudioEmpty, AudioMissing, NotAudio
from service.postgres.verification import AudioRow
from service.workers.verification.findings import Kind

CONCURRENT_READS = 8


@dataclass(frozen=True)
class AudioCheck:
    """Reads audio, at most CONCURRENT_READS objects at once, each with at most 1 MiB in memory."""

    audio: AudioStore
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONCURRENT_READS), init=False
    )

    async def check(self, rows: Sequence[AudioRow]) -> list[tuple[AudioRow, Kind]]:
        """Returns the rows whose audio is missing, differs or cannot be used."""
        kinds = await asyncio.gather(*map(self._check, rows))
        return [(row, kind) for row, kind in zip(rows, kinds, strict=True) if kind is not None]

    async def _check(self, row: AudioRow) -> Kind | None:
        async with self._slots:
            size = await self.audio.get_size(row.audio.key)
            if size is None:
                return Kind.AUDIO_MISSING
            if size != row.audio.size:
                return Kind.SIZE_DIFFERS
            if size == 0:
                return Kind.AUDIO_UNREADABLE
            try:
                return await self._read(row)
            except AudioMissing:
                return Kind.AUDIO_MISSING

    async def _read(self, row: AudioRow) -> Kind | None:
        with Spool(row.audio.size) as spool:
            async with self.audio.read(row.audio.key, 0, row.audio.size) as blocks:
                async for block in blocks:
                    await spool.write(block)
            if spool.sha256() != row.audio.sha256:
                return Kind.CONTENT_DIFFERS
            try:
                await inspect(spool, row.audio.content_type)
            except (AudioEmpty, NotAudio):
                return Kind.AUDIO_UNREADABLE
        return None


async def get_sizes(audio: AudioStore, keys: Sequence[str]) -> list[int | None]:
    """Returns the sizes of objects, None for those that do not exist."""
    sizes: list[int | None] = []
    for start in range(0, len(keys), CONCURRENT_READS):
        chunk = keys[start : start + CONCURRENT_READS]
        sizes += await asyncio.gather(*map(audio.get_size, chunk))
    return sizes


class Sample:
    """Random sample of at most `size` rows of a stream, all with the same probability."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = 0
        self.rows: list[AudioRow] = []

    def add(self, row: AudioRow) -> None:
        self._seen += 1
        if len(self.rows) < self._size:
            self.rows.append(row)
        elif self._size:
            place = random.randrange(self._seen)  # noqa: S311 - not a secret
            if place < self._size:
                self.rows[place] = row
