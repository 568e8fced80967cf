"""Transcription channel: transcribes the messages of boxes with `transcribe`."""

from collections.abc import Sequence
from typing import Any

from service.audio.store import AudioStore
from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.events import Event, EventType
from service.domain.message import Message, MessageId
from service.domain.transcription import (
    failed_transcription,
    successful_transcription,
    transcript_of,
)
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Connection, Database
from service.postgres.transcriptions import transcribe_message
from service.postgres.vmboxes import get_vmbox
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target
from service.workers.channels.message_new import is_imported
from service.workers.channels.stored_audio import AudioDamaged, read_whole_audio
from service.workers.channels.transcription.engine import Engine

# Time for reading the audio, in addition to the timeout of the engine.
_MARGIN_S = 60.0
_TARGET = "engine"


class Transcript(Done, frozen=True, kw_only=True):
    """The engine has transcribed the audio."""

    audio_key: str
    transcription: dict[str, Any]


class TranscriptionFailed(Failed, frozen=True, kw_only=True):
    """The engine rejects the audio. A failure is stored instead of a text."""

    audio_key: str
    transcription: dict[str, Any]


class TranscriptionChannel:
    """Sends one request per message, and one more when its audio is replaced."""

    name = "transcription"
    events: tuple[str, ...] = (EventType.MESSAGE_NEW.value, EventType.MESSAGE_AUDIO_REPLACED.value)
    # Limits each account, so that a busy one does not delay others.
    per_target = 2

    def __init__(
        self,
        database: Database,
        audio: AudioStore,
        engine: Engine,
        *,
        timeout_s: float,
        concurrency: int,
    ) -> None:
        self.timeout_s = timeout_s + _MARGIN_S
        self.concurrency = concurrency
        self._database = database
        self._audio = audio
        self._engine = engine

    def handles(self, event: Event) -> bool:
        # An import does not transcribe years of old messages.
        return event.media_id is not None and not is_imported(event)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Returns the engine, or nothing if the message has a transcription or needs none."""
        message = await _find_message(connection, event)
        return [Target(name=_TARGET)] if isinstance(message, Message) else []

    async def deliver(self, delivery: Delivery) -> Outcome:
        async with self._database.connection() as connection:
            message = await _find_message(connection, delivery.event)
        if isinstance(message, str):
            return Ignored(message)
        audio = message.audio
        if audio is None:
            return Ignored("the message has no audio")
        try:
            content = await read_whole_audio(self._audio, audio)
        except AudioDamaged as error:
            return Failed(error=str(error))
        name = f"message.{audio.extension}"
        result = await self._engine.transcribe(content, name, audio.content_type)
        if isinstance(result, str):
            return Transcript(audio_key=audio.key, transcription=successful_transcription(result))
        if result.permanent:
            return TranscriptionFailed(
                error=result.error,
                permanent=True,
                audio_key=audio.key,
                transcription=failed_transcription(),
            )
        return result

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Stores the transcription, unless the message was deleted or has other audio."""
        if isinstance(outcome, Transcript | TranscriptionFailed):
            await transcribe_message(
                connection, _message_key(delivery.event), outcome.audio_key, outcome.transcription
            )


async def _find_message(connection: Connection, event: Event) -> Message | str:
    """Returns the message, or the reason why it must not be transcribed."""
    try:
        box = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
        message = await get_message(connection, _message_key(event))
    except (VmboxNotFound, MessageNotFound):
        return "the message or its box was deleted"
    if box.document.get("transcribe") is not True:
        return "the box does not transcribe"
    # A failed transcription is repeated when an operator retries, for example with another engine.
    if transcript_of(message.transcription) is not None:
        return "the message has a transcription"
    return message


def _message_key(event: Event) -> MessageKey:
    message_id = MessageId.parse(event.media_id or "")
    if message_id is None:
        raise MessageNotFound
    return MessageKey(event.account_id, event.vmbox_id, message_id)
