"""Transcription harness: boxes, the transcription channel and a transcription server."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio

from service.audio.store import AudioStore
from service.domain.message import Audio, Message
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database
from service.workers.channels.transcription import (
    HttpEngine,
    HttpEngineSettings,
    TranscriptionChannel,
)
from tests.support.builders import Box, Recorded, a_vmbox, events_of, stored
from tests.support.database import TestDatabase
from tests.support.keeper import put_bytes
from tests.support.notifier import NotifierHarness, settled
from tests.support.relay import running_relay
from tests.support.transcription_server import (
    KEY,
    TranscriptionServer,
    running_transcription_server,
)


class TranscriptionHarness:
    """Boxes, the channel and the server that it sends audio to."""

    def __init__(
        self,
        harness: NotifierHarness,
        urls: TestDatabase,
        database: Database,
        store: AudioStore,
        stub: TranscriptionServer,
        channel: TranscriptionChannel,
    ) -> None:
        self.harness = harness
        self.urls = urls
        self.database = database
        self.store = store
        self.stub = stub
        self.channel = channel

    def relay(self) -> Any:
        return running_relay(self.urls.url, self.harness.servers.nats.url(), self.harness.stream)

    async def a_box(self, **settings: Any) -> Box:
        async with self.database.connection() as connection:
            return await a_vmbox(connection, **{"transcribe": True, **settings})

    async def sound(self, text: str) -> Audio:
        """Stores audio whose transcript is `text`."""
        content, key = text.encode().ljust(4000, b"\0"), f"audio/202603/{uuid4().hex}/a.mp3"
        await put_bytes(self.store, key, content, "audio/mpeg")
        return Audio(
            key=key,
            content_type="audio/mpeg",
            size=len(content),
            sha256=hashlib.sha256(content).digest(),
        )

    async def leave(self, box: Box, text: str) -> MessageKey:
        audio = await self.sound(text)
        async with self.database.connection() as connection:
            return await stored(connection, box, audio=audio)

    async def done(self, count: int = 1) -> list[asyncpg.Record]:
        return await settled(self.harness.inspector, count, channel="transcription")

    async def message(self, place: MessageKey) -> Message:
        async with self.database.connection() as connection:
            return await get_message(connection, place)

    async def transcribed_events(self, box: Box) -> list[Recorded]:
        async with self.database.connection() as connection:
            return [
                event
                for event in await events_of(connection, box)
                if event.type == "message.transcribed"
            ]


@pytest_asyncio.fixture(loop_scope="session")
async def transcription_harness(
    harness: NotifierHarness,
    shared_bucket: AudioStore,
    test_database: TestDatabase,
    database: Database,
) -> AsyncIterator[TranscriptionHarness]:
    async with running_transcription_server() as stub:
        settings = HttpEngineSettings(url=stub.url, key=KEY, model="whisper-9", timeout_s=5)
        async with HttpEngine.open(settings) as engine:
            channel = TranscriptionChannel(
                database, shared_bucket, engine, language="en", timeout_s=5, concurrency=4
            )
            yield TranscriptionHarness(
                harness, test_database, database, shared_bucket, stub, channel
            )
