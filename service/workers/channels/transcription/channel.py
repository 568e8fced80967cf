"""The transcription channel: has messages of boxes that `transcribe` written down."""

from collections.abc import Sequence
from typing import Any

from service.audio.formats import extension_of
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
from service.workers.channels.stored_audio import AudioDamaged, whole_audio
from service.workers.channels.transcription.engine import Engine

# Reading the audio, beside the engine's own time.
_MARGIN_S = 60.0
_TARGET = "engine"


class Transcript(Done, frozen=True, kw_only=True):
    """The engine has heard it."""

    audio_key: str
    transcription: dict[str, Any]


class TranscriptionFailed(Failed, frozen=True, kw_only=True):
    """The engine will not take this audio: that is told in place of a text."""

    audio_key: str
    transcription: dict[str, Any]


class TranscriptionChannel:
    """One request for each message, and for other audio of one."""

    name = "transcription"
    events = (EventType.MESSAGE_NEW.value, EventType.MESSAGE_AUDIO_REPLACED.value)
    # Of one account, so that no other waits for a busy one.
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
        """What the box wants is looked up when the event is dealt out."""
        return event.media_id is not None

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """A message that was moved or copied brought its transcription with it."""
        found = await _wanted(connection, event)
        return [Target(name=_TARGET)] if isinstance(found, Message) else []

    async def deliver(self, delivery: Delivery) -> Outcome:
        async with self._database.connection() as connection:
            message = await _wanted(connection, delivery.event)
        if isinstance(message, str):
            return Ignored(message)
        audio = message.audio
        if audio is None:
            return Ignored("the message has no audio")
        try:
            content = await whole_audio(self._audio, audio)
        except AudioDamaged as error:
            return Failed(error=str(error))
        name = f"message.{extension_of(audio.content_type, audio.key)}"
        answer = await self._engine.transcribe(content, name, audio.content_type)
        if isinstance(answer, str):
            return Transcript(audio_key=audio.key, transcription=successful_transcription(answer))
        if answer.permanent:
            return TranscriptionFailed(
                error=answer.error,
                permanent=True,
                audio_key=audio.key,
                transcription=failed_transcription(),
            )
        return answer

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Stores what was heard, unless the message has gone or has other audio meanwhile."""
        if isinstance(outcome, Transcript | TranscriptionFailed):
            await transcribe_message(
                connection, _place(delivery.event), outcome.audio_key, outcome.transcription
            )


async def _wanted(connection: Connection, event: Event) -> Message | str:
    """The message that is to be transcribed, or why none is."""
    try:
        box = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
        message = await get_message(connection, _place(event))
    except (VmboxNotFound, MessageNotFound):
        return "the message or its box is gone"
    if box.document.get("transcribe") is not True:
        return "the box does not transcribe"
    # One that was refused may be heard by another engine, once an operator retries.
    if transcript_of(message.transcription) is not None:
        return "the message is transcribed"
    return message


def _place(event: Event) -> MessageKey:
    message_id = MessageId.parse(event.media_id or "")
    if message_id is None:
        raise MessageNotFound
    return MessageKey(event.account_id, event.vmbox_id, message_id)
