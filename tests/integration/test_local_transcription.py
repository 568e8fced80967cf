"""Transcription channel with the local engine."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.audio.speech.models import find_model
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechLimits
from service.postgres.messages import MessageKey
from service.postgres.transcriptions import get_transcription_words, request_transcription
from service.workers.channels.transcription import LocalEngine, TranscriptionChannel
from tests.support.builders import Box
from tests.support.speech import MODEL, requires_speech, speak
from tests.support.transcription_harness import TranscriptionHarness

pytestmark = [pytest.mark.long, requires_speech]

ENGINE = {"engine": "faster-whisper", "model": "tiny"}


@asynccontextmanager
async def a_pool() -> AsyncIterator[SpeechPool]:
    folder = find_model(MODEL)
    assert folder is not None
    async with SpeechPool.open(folder, SpeechLimits()) as pool:
        yield pool


def a_channel(harness: TranscriptionHarness, pool: SpeechPool) -> TranscriptionChannel:
    engine = LocalEngine(pool, "tiny")
    return TranscriptionChannel(
        harness.database, harness.store, engine, timeout_s=120, concurrency=1
    )


async def store_message(harness: TranscriptionHarness, box: Box, content: bytes) -> MessageKey:
    return await harness.store_message(box, await harness.put(content))


async def test_a_message_gets_a_text_with_words(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    async with a_pool() as pool, transcription_harness.relay():
        channel = a_channel(transcription_harness, pool)
        async with transcription_harness.harness.running(channel):
            key = await store_message(
                transcription_harness, box, await speak("Please call me today.")
            )
            [row] = await transcription_harness.done()
    assert row["status"] == "done"
    transcription = (await transcription_harness.message(key)).transcription
    assert transcription is not None
    assert transcription == {
        "result": "success",
        "text": transcription["text"],
        "language": "en",
        **ENGINE,
    }
    assert "call me" in transcription["text"]
    async with transcription_harness.database.connection() as connection:
        words = await get_transcription_words(connection, key)
    assert [word.text for word in words] == transcription["text"].split()


async def test_a_request_transcribes_a_message_of_a_box_without_transcription(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box(transcribe=False)
    key = await store_message(transcription_harness, box, await speak("Please call me today."))
    async with transcription_harness.database.connection() as connection:
        assert await request_transcription(connection, key)
        assert not await request_transcription(connection, key)
    async with a_pool() as pool, transcription_harness.relay():
        channel = a_channel(transcription_harness, pool)
        async with transcription_harness.harness.running(channel):
            await transcription_harness.done(2)
    transcription = (await transcription_harness.message(key)).transcription
    assert transcription is not None
    assert transcription["result"] == "success"
    async with transcription_harness.database.connection() as connection:
        assert await request_transcription(connection, key)


async def test_a_message_whose_process_always_crashes_gets_a_failure(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    async with a_pool() as pool, transcription_harness.relay():

        async def kill_all() -> None:
            while True:
                for pid in pool.busy_process_ids:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.01)

        killer = asyncio.create_task(kill_all())
        channel = a_channel(transcription_harness, pool)
        async with transcription_harness.harness.running(channel):
            key = await store_message(transcription_harness, box, await speak("One moment. " * 50))
            [row] = await transcription_harness.done()
        killer.cancel()
    assert (row["status"], row["attempt"]) == ("dead", 3)
    assert row["last_error"] == "the speech process ended"
    transcription = (await transcription_harness.message(key)).transcription
    assert transcription == {"result": "failure", **ENGINE}
