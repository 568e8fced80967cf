"""Media harness: the media channel, its pool of processes, and messages with audio."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.domain.message import Audio, Message
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database
from service.workers.channels.media import MediaChannel
from tests.support.builders import Box, Recorded, a_vmbox, events_of, stored
from tests.support.database import TestDatabase
from tests.support.keeper import put_bytes
from tests.support.notifier import NotifierHarness, settled
from tests.support.relay import running_relay


class MediaHarness:
    """Boxes, and the channel that measures their messages."""

    def __init__(
        self,
        harness: NotifierHarness,
        urls: TestDatabase,
        database: Database,
        store: AudioStore,
        channel: MediaChannel,
    ) -> None:
        self.harness = harness
        self.urls = urls
        self.database = database
        self.store = store
        self.channel = channel

    def relay(self) -> Any:
        return running_relay(self.urls.url, self.harness.servers.nats.url(), self.harness.stream)

    def running(self) -> Any:
        return self.harness.running(self.channel)

    async def a_box(self) -> Box:
        async with self.database.connection() as connection:
            return await a_vmbox(connection)

    async def put(self, content: bytes, content_type: str = "audio/wav") -> Audio:
        """Stores an object."""
        key = f"audio/202603/{uuid4().hex}/a.wav"
        await put_bytes(self.store, key, content, content_type)
        digest = hashlib.sha256(content).digest()
        return Audio(key=key, content_type=content_type, size=len(content), sha256=digest)

    async def leave(
        self, box: Box, content: bytes, length_ms: int, content_type: str = "audio/wav"
    ) -> MessageKey:
        """Stores a message whose row has this length."""
        audio = await self.put(content, content_type)
        async with self.database.connection() as connection:
            return await stored(connection, box, audio=audio, length_ms=length_ms)

    async def done(self, count: int = 1) -> list[asyncpg.Record]:
        return await settled(self.harness.inspector, count, channel="media")

    async def message(self, place: MessageKey) -> Message:
        async with self.database.connection() as connection:
            return await get_message(connection, place)

    async def measured_events(self, box: Box) -> list[Recorded]:
        async with self.database.connection() as connection:
            events = await events_of(connection, box)
        return [event for event in events if event.type == "message.measured"]

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
