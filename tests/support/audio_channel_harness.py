"""Harness of a channel that reads the audio of messages: boxes, objects, and what is stored."""

import hashlib
from typing import Any
from uuid import uuid4

import asyncpg

from service.audio.store import AudioStore
from service.domain.message import Audio, Message
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database
from service.workers.channels import Channel
from tests.support.builders import Box, Recorded, a_vmbox, events_of, stored
from tests.support.database import TestDatabase
from tests.support.keeper import put_bytes
from tests.support.notifier import NotifierHarness, settled
from tests.support.relay import running_relay


class AudioChannelHarness:
    """Boxes and their messages, a relay, and the channel."""

    def __init__(
        self,
        harness: NotifierHarness,
        urls: TestDatabase,
        database: Database,
        store: AudioStore,
        channel: Channel,
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

    async def a_box(self, **settings: Any) -> Box:
        async with self.database.connection() as connection:
            return await a_vmbox(connection, **settings)

    async def put(
        self, content: bytes, content_type: str = "audio/wav", name: str = "a.wav"
    ) -> Audio:
        """Stores an object."""
        key = f"audio/202603/{uuid4().hex}/{name}"
        await put_bytes(self.store, key, content, content_type)
        digest = hashlib.sha256(content).digest()
        return Audio(key=key, content_type=content_type, size=len(content), sha256=digest)

    async def store_message(self, box: Box, audio: Audio, **fields: Any) -> MessageKey:
        async with self.database.connection() as connection:
            return await stored(connection, box, audio=audio, **fields)

    async def done(self, count: int = 1) -> list[asyncpg.Record]:
        return await settled(self.harness.inspector, count, channel=self.channel.name)

    async def message(self, place: MessageKey) -> Message:
        async with self.database.connection() as connection:
            return await get_message(connection, place)

    async def events(self, box: Box, event_type: str) -> list[Recorded]:
        async with self.database.connection() as connection:
            events = await events_of(connection, box)
        return [event for event in events if event.type == event_type]
