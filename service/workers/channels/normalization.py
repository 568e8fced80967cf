"""Conversion of the audio of messages to the format of their box (`media_extension`)."""

import asyncio
import tempfile
from typing import IO

import msgspec

from service.audio.conversion.files import store_file
from service.audio.conversion.operations import Convert, Measure, Measured
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.keys import message_key
from service.audio.store import AudioStore
from service.domain.clock import utc_now
from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.events import Event
from service.domain.message import Audio, Message, uuid7
from service.domain.rendition import RenditionFormat
from service.postgres.accounts import read_account
from service.postgres.messages import get_message
from service.postgres.pool import Connection, Database
from service.postgres.renditions import normalize_message
from service.postgres.vmboxes import get_vmbox
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome
from service.workers.channels.message_new import message_key_of
from service.workers.channels.stored_audio import read_whole_audio

_FORMATS = {
    "mp3": RenditionFormat.MP3,
    "mp4": RenditionFormat.M4A,
    "wav": RenditionFormat.WAV,
}
_TELEPHONE_HZ = 8000
# Encoders pad the audio to complete frames.
_TOLERANCE_MS = 200


class Normalization(Done, frozen=True, kw_only=True):
    """Stored audio that replaces the audio `replaced_key` of a message."""

    replaced_key: str
    audio: Audio


class _Work(msgspec.Struct, frozen=True):
    message: Message
    original: Audio
    extension: str


class AudioNormalizer:
    """Converts the audio of messages in accounts with `normalize_audio`.

    The original stays in use until the converted audio is verified and stored. Then one statement
    replaces it, and the keeper deletes its object. A killed process leaves an object without a row.
    """

    def __init__(self, database: Database, audio: AudioStore, pool: ConversionPool) -> None:
        self._database = database
        self._audio = audio
        self._pool = pool

    async def is_needed(self, connection: Connection, event: Event) -> bool:
        return isinstance(await _find_work(connection, event), _Work)

    async def convert(self, delivery: Delivery) -> Outcome:
        """Converts and stores the audio. Raises AudioUnreadable, AudioDamaged, Unavailable."""
        async with self._database.connection() as connection:
            work = await _find_work(connection, delivery.event)
        if isinstance(work, str):
            return Ignored(work)
        content = await read_whole_audio(self._audio, work.original)
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            await asyncio.to_thread(_write, source, content)
            return await self._convert(delivery, work, source, target)

    async def settle(
        self, connection: Connection, delivery: Delivery, outcome: Normalization
    ) -> None:
        """Replaces the audio, unless the message was removed, is held or has other audio."""
        place = message_key_of(delivery.event)
        await normalize_message(connection, place, outcome.replaced_key, outcome.audio)

    async def _convert(
        self, delivery: Delivery, work: _Work, source: IO[bytes], target: IO[bytes]
    ) -> Outcome:
        owner, original = delivery.account_id, AudioInput(source, work.original.content_type)
        before: Measured = await self._pool.run(Measure(), [original], owner=owner)
        chosen = _format_of(work.extension, before.facts.sample_rate)
        await self._pool.run(Convert(format=chosen), [original], target, owner=owner)
        converted = AudioInput(target, chosen.content_type)
        after: Measured = await self._pool.run(Measure(), [converted], owner=owner)
        if abs(after.facts.duration_ms - before.facts.duration_ms) > _TOLERANCE_MS:
            return Failed(error="the converted audio has another duration", permanent=True)
        message_id = work.message.id
        upload_id = uuid7(utc_now())
        key = message_key(
            message_id.month, delivery.account_id, message_id.id, upload_id, work.extension
        )
        audio = await store_file(self._audio, key, target, chosen.content_type)
        return Normalization(replaced_key=work.original.key, audio=audio)


async def _find_work(connection: Connection, event: Event) -> _Work | str:
    """Returns the message to convert, or the reason why it must not be converted."""
    account = await read_account(connection, event.account_id)
    if account is None or account.document.get("normalize_audio") is not True:
        return "the account does not normalize audio"
    try:
        message = await get_message(connection, message_key_of(event))
        vmbox = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
    except (VmboxNotFound, MessageNotFound):
        return "the message or its box was deleted"
    extension = vmbox.document.get("media_extension")
    if message.audio is None or extension not in _FORMATS:
        return "the message has no audio or its box has no format"
    if message.audio.content_type in _FORMATS[extension].types:
        return "the audio has the format of the box"
    return _Work(message, message.audio, extension)


def _format_of(extension: str, sample_rate: int) -> RenditionFormat:
    chosen = _FORMATS[extension]
    is_wideband = chosen is RenditionFormat.WAV and sample_rate > _TELEPHONE_HZ
    return RenditionFormat.WAV_16K if is_wideband else chosen


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
