"""Copy of audio objects between the buckets of two deployments."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.audio_errors import AudioMissing
from service.postgres.account_moves import StoredAudio
from service.transfer.writing import retry_unavailable

_CONCURRENCY = 8


@dataclass(frozen=True, kw_only=True)
class AudioCopier:
    """Copies objects that the target does not have, or has with another size."""

    source: AudioStore
    target: AudioStore

    async def copy_all(self, objects: AsyncIterator[StoredAudio]) -> list[str]:
        """Copies all objects. Returns the keys of those that the source does not have."""
        missing: list[str] = []
        slots = asyncio.Semaphore(_CONCURRENCY)

        async def copy(audio: StoredAudio) -> None:
            try:
                if not await retry_unavailable(lambda: self._copy(audio)):
                    missing.append(audio.key)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            async for audio in objects:
                await slots.acquire()
                group.create_task(copy(audio))
        return missing

    async def _copy(self, audio: StoredAudio) -> bool:
        if await self.target.get_size(audio.key) == audio.size:
            return True
        try:
            async with self.source.read(audio.key, 0, audio.size) as blocks:
                with Spool(audio.size) as spool:
                    async for block in blocks:
                        await spool.write(block)
                    await self.target.put(audio.key, spool, audio.content_type)
        except AudioMissing:
            return False
        return True
