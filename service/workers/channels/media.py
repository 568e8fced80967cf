"""Media channel: measures the audio of new messages, and normalizes it."""

import asyncio
import tempfile
from collections.abc import Sequence
from typing import IO

from service.audio.conversion.operations import Measure, Measured
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.inspection import UNKNOWN_LENGTH_MS, inspect
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.audio_errors import AudioUnreadable
from service.domain.errors import MessageNotFound, Refused, VmboxNotFound
from service.domain.events import Event, EventType
from service.domain.media import MediaFacts, Waveform
from service.domain.message import Audio, Message
from service.postgres.media import measure_message
from service.postgres.messages import get_message
from service.postgres.pool import Connection, Database
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target
from service.workers.channels.message_new import is_imported, message_key_of
from service.workers.channels.normalization import AudioNormalizer, Normalization
from service.workers.channels.stored_audio import AudioDamaged, read_whole_audio

# Time for reading the audio and waiting for a process, in addition to the time of measuring.
_MARGIN_S = 60.0
_TARGET = "audio"
_NORMALIZE = "normalize"
# Normalization measures the audio before and after the conversion.
_OPERATIONS = 3


class Measurement(Done, frozen=True, kw_only=True):
    """Facts about the audio `audio_key`, its outline, and its length as `inspect` computes it."""

    audio_key: str
    facts: MediaFacts
    waveform: Waveform
    computed_length_ms: int


class MediaChannel:
    """Measures each message once, and again when its audio is replaced.

    Audio of accounts with `normalize_audio` is converted by a delivery of its own.
    """

    name = "media"
    events: tuple[str, ...] = (EventType.MESSAGE_NEW.value, EventType.MESSAGE_AUDIO_REPLACED.value)
    # Limits each account, so that a busy one does not delay others.
    per_target = 2

    def __init__(self, database: Database, audio: AudioStore, pool: ConversionPool) -> None:
        self.timeout_s = _OPERATIONS * pool.limits.timeout_s + _MARGIN_S
        # Audio is read while the processes are busy.
        self.concurrency = 2 * pool.limits.processes
        self._database = database
        self._audio = audio
        self._pool = pool
        self._normalizer = AudioNormalizer(database, audio, pool)

    def handles(self, event: Event) -> bool:
        # An import does not measure years of old messages.
        return event.media_id is not None and not is_imported(event)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Returns the work on the audio. A measured message, as a copy, is not measured again."""
        message = await _find_message(connection, event)
        names = [_TARGET] if isinstance(message, Message) else []
        if await self._normalizer.is_needed(connection, event):
            names.append(_NORMALIZE)
        return [Target(name=name) for name in names]

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            if delivery.target == _NORMALIZE:
                return await self._normalizer.convert(delivery)
            return await self._measure_message(delivery)
        except AudioDamaged as error:
            return Failed(error=str(error))
        except AudioUnreadable as error:
            return Failed(error=f"the audio cannot be decoded ({error.cause})", permanent=True)

    async def _measure_message(self, delivery: Delivery) -> Outcome:
        event = delivery.event
        async with self._database.connection() as connection:
            message = await _find_message(connection, event)
        if isinstance(message, str):
            return Ignored(message)
        audio = message.audio
        if audio is None:
            return Ignored("the message has no audio")
        content = await read_whole_audio(self._audio, audio)
        result = await self._measure(event, audio, content)
        return Measurement(
            audio_key=audio.key,
            facts=result.facts,
            waveform=result.waveform,
            computed_length_ms=await _compute_length_ms(audio, content),
        )

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Stores the facts or the audio, unless the message was deleted or has other audio."""
        if isinstance(outcome, Normalization):
            await self._normalizer.settle(connection, delivery, outcome)
        if isinstance(outcome, Measurement):
            await measure_message(
                connection,
                message_key_of(delivery.event),
                outcome.audio_key,
                outcome.facts,
                outcome.waveform,
                computed_length_ms=outcome.computed_length_ms,
            )

    async def _measure(self, event: Event, audio: Audio, content: bytes) -> Measured:
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(_write, file, content)
            source = AudioInput(file, audio.content_type)
            return await self._pool.run(Measure(), [source], owner=event.account_id)


async def _find_message(connection: Connection, event: Event) -> Message | str:
    """Returns the message, or the reason why it must not be measured."""
    try:
        message = await get_message(connection, message_key_of(event))
    except (VmboxNotFound, MessageNotFound):
        return "the message or its box was deleted"
    return message if message.media is None else "the message was measured"


async def _compute_length_ms(audio: Audio, content: bytes) -> int:
    """Returns the length that the service stored for this audio, unless a client sent one."""
    with Spool(audio.size) as spool:
        await spool.write(content)
        try:
            return (await inspect(spool, audio.content_type)).length_ms
        except Refused:
            return UNKNOWN_LENGTH_MS


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
