"""Use cases of renditions: stored audio in another format, made when it is first requested."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Self

from cachetools import TTLCache

from service.audio.conversion.files import fetch_audio, store_file
from service.audio.conversion.operations import Convert
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.keys import rendition_key
from service.audio.store import AudioStore
from service.domain.account import AccountFacts, Quota, Quotas
from service.domain.audio_errors import AudioMissing, AudioUnreadable, GreetingHasNoAudio
from service.domain.errors import NotFound, StorageUnavailable
from service.domain.greeting import Greeting
from service.domain.message import Audio, Message, uuid7
from service.domain.recording import Recording
from service.domain.rendition import RenditionFormat
from service.postgres import renditions as rows
from service.postgres.greetings import get_greeting
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database
from service.postgres.renditions import RenditionKey
from service.usecases.audio_removal import remove_audio

# Audio that cannot be decoded is not tried again during this time.
_FAILURE_S = 600
_MAX_FAILURES = 4096

IsCurrent = Callable[[], Awaitable[bool]]


class Renditions:
    """Makes renditions, each once, and reads them.

    Concurrent requests of one process share one conversion, which continues when a request ends.
    When two processes make the same rendition, the second one is discarded.
    """

    def __init__(
        self,
        database: Database,
        audio: AudioStore,
        pool: ConversionPool,
        clock: Callable[[], datetime],
        quotas: Quotas,
    ) -> None:
        self._database = database
        self._audio = audio
        self._pool = pool
        self._clock = clock
        self._quotas = quotas
        self._conversions: dict[RenditionKey, asyncio.Task[Audio]] = {}
        self._failures: TTLCache[RenditionKey, str] = TTLCache(_MAX_FAILURES, _FAILURE_S)

    @asynccontextmanager
    async def convert_in_background(self) -> AsyncIterator[Self]:
        """Cancels the conversions in progress when the block ends."""
        try:
            yield self
        finally:
            tasks = list(self._conversions.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_available(self) -> bool:
        """True if this installation can convert audio."""
        return self._pool.is_available

    async def of_recording(
        self, account: AccountFacts, recording: Recording, target: RenditionFormat
    ) -> Recording:
        """Returns a recording with its rendition as audio.

        Raises AudioUnreadable, AudioMissing, ConversionUnavailable, Unavailable.
        """
        audio = await self.of_message(account, recording.message, recording.audio, target)
        return Recording(message=recording.message, audio=audio, local_time=recording.local_time)

    async def of_message(
        self, account: AccountFacts, message: Message, original: Audio, target: RenditionFormat
    ) -> Audio:
        """Returns the rendition of the audio of a message. Raises as `of_recording`."""

        async def is_current() -> bool:
            key = MessageKey(account.account_id, message.vmbox_id, message.id)
            async with self._database.connection() as connection:
                with suppress(NotFound):
                    current = (await get_message(connection, key)).audio
                    return current is not None and current.key == original.key
            return False

        return await self.get(account, original, target, is_current)

    async def of_greeting(
        self, account: AccountFacts, greeting: Greeting, target: RenditionFormat
    ) -> Audio:
        """Returns the rendition of the audio of a greeting. Raises as `of_recording`."""
        original = greeting.audio
        if original is None:
            raise GreetingHasNoAudio

        async def is_current() -> bool:
            async with self._database.connection() as connection:
                with suppress(NotFound):
                    current = await get_greeting(connection, account.account_id, greeting.media_id)
                    return current.audio == original
            return False

        return await self.get(account, original, target, is_current)

    async def get(
        self,
        account: AccountFacts,
        original: Audio,
        target: RenditionFormat,
        is_current: IsCurrent,
    ) -> Audio:
        """Returns the rendition of stored audio. `is_current` is False once it was removed.

        Raises AudioUnreadable, AudioMissing, ConversionUnavailable, Unavailable.
        """
        key = RenditionKey(account.account_id, original.key, target)
        async with self._database.connection() as connection:
            audio = await rows.get_rendition(connection, key)
        if audio is not None:
            return audio
        if key in self._failures:
            raise AudioUnreadable(self._failures[key])
        task = self._conversions.get(key)
        if task is None:
            task = asyncio.create_task(
                self._convert(account, original, key, is_current), name="make rendition"
            )
            self._conversions[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    @asynccontextmanager
    async def read(
        self, audio: Audio, start: int, length: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Streams a part of a rendition. Raises Unavailable on entry.

        A rendition without its object is forgotten, so that the next request makes it again.
        """
        async with AsyncExitStack() as stack:
            try:
                blocks = await stack.enter_async_context(self._audio.read(audio.key, start, length))
            except AudioMissing:
                await remove_audio(self._database, self._audio, [audio.key])
                raise StorageUnavailable("the rendition has no object") from None
            yield blocks

    async def _convert(
        self, account: AccountFacts, original: Audio, key: RenditionKey, is_current: IsCurrent
    ) -> Audio:
        async with self._pool.reserve(account.account_id):
            # Without a place in the pool there are no temporary files.
            with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
                await fetch_audio(self._audio, original, source)
                await self._pool.run_reserved(
                    Convert(format=key.format), [AudioInput(source, original.content_type)], target
                )
                object_key = rendition_key(original.key, key.format, uuid7(self._clock()))
                audio = await store_file(self._audio, object_key, target, key.format.content_type)
        return await self._insert(account, key, audio, is_current)

    async def _insert(
        self, account: AccountFacts, key: RenditionKey, audio: Audio, is_current: IsCurrent
    ) -> Audio:
        """Writes the row. Discards the object if there is a row already."""
        async with self._database.connection() as connection:
            is_first = await rows.insert_rendition(connection, key, audio)
            existing = audio if is_first else await rows.get_rendition(connection, key)
        if not is_first:
            await self._audio.delete(audio.key)
        # A removal of the original before the insertion has not seen the row.
        if existing is None or not await is_current():
            await remove_audio(self._database, self._audio, [audio.key])
            raise AudioMissing
        await self._evict(account)
        return existing

    async def _evict(self, account: AccountFacts) -> None:
        limit = self._quotas.limit_of(account, Quota.RENDITION_BYTES)
        if limit is not None:
            async with self._database.connection() as connection:
                keys = await rows.evict_renditions(connection, account.account_id, limit)
            await self._audio.delete_many(keys)

    def _finish(self, key: RenditionKey, task: asyncio.Task[Audio]) -> None:
        del self._conversions[key]
        # The request may have ended, so nobody else reads the exception.
        if not task.cancelled() and isinstance(error := task.exception(), AudioUnreadable):
            self._failures[key] = error.cause
