"""Media harness: the media channel, its pool of processes, and messages with audio."""

from collections.abc import AsyncIterator

import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.workers.channels.media import MediaChannel
from tests.support.audio_channel_harness import AudioChannelHarness
from tests.support.builders import Box, Recorded
from tests.support.database import TestDatabase
from tests.support.notifier import NotifierHarness


class MediaHarness(AudioChannelHarness):
    """Boxes, and the channel that measures their messages."""

    async def leave(
        self, box: Box, content: bytes, length_ms: int, content_type: str = "audio/wav"
    ) -> MessageKey:
        """Stores a message whose row has this length."""
        audio = await self.put(content, content_type)
        return await self.store_message(box, audio, length_ms=length_ms)

    async def measured_events(self, box: Box) -> list[Recorded]:
        return await self.events(box, "message.measured")

    async def outlines(self, box: Box) -> int:
        """Returns the number of stored outlines of an account."""
        count: int = await self.harness.inspector.fetchval(
            "SELECT count(*) FROM waveforms WHERE account_id = $1", box.account_id
        )
        return count


@pytest_asyncio.fixture(loop_scope="session")
async def media_harness(
    harness: NotifierHarness,
    shared_bucket: AudioStore,
    test_database: TestDatabase,
    database: Database,
) -> AsyncIterator[MediaHarness]:
    async with ConversionPool.open(ConversionLimits(processes=1)) as pool:
        channel = MediaChannel(database, shared_bucket, pool)
        yield MediaHarness(harness, test_database, database, shared_bucket, channel)
