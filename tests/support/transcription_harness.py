"""Transcription harness: boxes, the transcription channel and a transcription server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from service.audio.store import AudioStore
from service.domain.message import Audio
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.workers.channels.transcription import (
    HttpEngine,
    HttpEngineSettings,
    TranscriptionChannel,
)
from tests.support.audio_channel_harness import AudioChannelHarness
from tests.support.builders import Box, Recorded
from tests.support.database import TestDatabase
from tests.support.notifier import NotifierHarness
from tests.support.transcription_server import (
    KEY,
    TranscriptionServer,
    running_transcription_server,
)


class TranscriptionHarness(AudioChannelHarness):
    """Boxes, the channel and the server that it sends audio to."""

    def __init__(self, stub: TranscriptionServer, *parts: Any) -> None:
        super().__init__(*parts)
        self.stub = stub

    async def a_box(self, **settings: Any) -> Box:
        return await super().a_box(**{"transcribe": True, **settings})

    async def sound(self, text: str) -> Audio:
        """Stores audio whose transcript is `text`."""
        return await self.put(text.encode().ljust(4000, b"\0"), "audio/mpeg", "a.mp3")

    async def leave(self, box: Box, text: str) -> MessageKey:
        return await self.store_message(box, await self.sound(text))

    async def transcribed_events(self, box: Box) -> list[Recorded]:
        return await self.events(box, "message.transcribed")


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
                stub, harness, test_database, database, shared_bucket, channel
            )
