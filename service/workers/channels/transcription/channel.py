"""Transcription channel: transcribes the messages of boxes with `transcribe`, and on request."""

from collections.abc import Sequence
from typing import Any

from service.audio.store import AudioStore
from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.events import Event, EventType
from service.domain.message import Message
from service.domain.transcription import (
    Recognition,
    Word,
    failed_transcription,
    storable_words,
    successful_transcription,
    transcript_of,
)
from service.domain.vmbox import Vmbox
from service.postgres.messages import get_message
from service.postgres.pool import Connection, Database
from service.postgres.transcriptions import transcribe_message
from service.postgres.vmboxes import get_vmbox
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target
from service.workers.channels.message_new import is_imported, message_key_of
from service.workers.channels.stored_audio import AudioDamaged, read_whole_audio
from service.workers.channels.transcription.engine import Engine, EngineCrashed

# Time for reading the audio, in addition to the timeout of the engine.
_MARGIN_S = 60.0
_TARGET = "engine"
# Audio that crashes the engine so often is not tried again.
_MAX_CRASHES = 3


class Transcript(Done, frozen=True, kw_only=True):
    """The engine has transcribed the audio."""

    audio_key: str
    transcription: dict[str, Any]
    words: tuple[Word, ...] = ()


class TranscriptionFailed(Failed, frozen=True, kw_only=True):
    """The engine rejects the audio. A failure is stored instead of a text."""

    audio_key: str
    transcription: dict[str, Any]


class TranscriptionChannel:
    """Transcribes each message once, and again when its audio is replaced or on request."""

    name = "transcription"
    events: tuple[str, ...] = (
        EventType.MESSAGE_NEW.value,
        EventType.MESSAGE_AUDIO_REPLACED.value,
        EventType.MESSAGE_TRANSCRIPTION_REQUESTED.value,
    )
    # Limits each account, so that a busy one does not delay others.
    per_target = 2

    def __init__(
        self,
        database: Database,
        audio: AudioStore,
        engine: Engine,
        *,
        language: str = "",
        timeout_s: float,
        concurrency: int,
    ) -> None:
        self.timeout_s = timeout_s + _MARGIN_S
        self.concurrency = concurrency
        self._database = database
        self._audio = audio
        self._engine = engine
        self._language = language

    def handles(self, event: Event) -> bool:
        # An import does not transcribe years of old messages.
        return event.media_id is not None and not is_imported(event)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Returns the engine, or nothing if the message has a transcription or needs none."""
        found = await _find_message(connection, event)
        return [] if isinstance(found, str) else [Target(name=_TARGET)]

    async def deliver(self, delivery: Delivery) -> Outcome:
        async with self._database.connection() as connection:
            found = await _find_message(connection, delivery.event)
        if isinstance(found, str):
            return Ignored(found)
        message, box = found
        if message.audio is None:
            return Ignored("the message has no audio")
        try:
            content = await read_whole_audio(self._audio, message.audio)
        except AudioDamaged as error:
            return Failed(error=str(error))
        audio, language = message.audio, _language_of(box) or self._language
        result = await self._engine.transcribe(
            content, audio.content_type, audio.extension, language
        )
        if isinstance(result, Recognition):
            return self._transcript(audio.key, result)
        if not result.permanent and not _is_last_crash(result, delivery):
            return result
        if transcript_of(message.transcription) is not None:
            # A request has failed. The text of an earlier transcription is kept.
            return Failed(error=result.error, permanent=True)
        return self._failure(audio.key, result.error)

    def _transcript(self, audio_key: str, result: Recognition) -> Transcript:
        transcription = successful_transcription(
            result.text,
            language=result.language,
            engine=self._engine.name,
            model=self._engine.model,
        )
        return Transcript(
            audio_key=audio_key, transcription=transcription, words=storable_words(result.words)
        )

    def _failure(self, audio_key: str, error: str) -> TranscriptionFailed:
        return TranscriptionFailed(
            error=error,
            permanent=True,
            audio_key=audio_key,
            transcription=failed_transcription(engine=self._engine.name, model=self._engine.model),
        )

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Stores the transcription, unless the message was deleted or has other audio."""
        if isinstance(outcome, Transcript | TranscriptionFailed):
            await transcribe_message(
                connection,
                message_key_of(delivery.event),
                outcome.audio_key,
                outcome.transcription,
                outcome.words if isinstance(outcome, Transcript) else (),
            )


def _is_last_crash(result: Failed, delivery: Delivery) -> bool:
    return isinstance(result, EngineCrashed) and delivery.attempt >= _MAX_CRASHES


def _language_of(box: Vmbox) -> str:
    language = box.document.get("transcription_language")
    return language if isinstance(language, str) else ""


async def _find_message(connection: Connection, event: Event) -> tuple[Message, Vmbox] | str:
    """Returns the message and its box, or the reason why it must not be transcribed.

    A request applies to every box, and to a message with a transcription.
    """
    try:
        box = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
        message = await get_message(connection, message_key_of(event))
    except (VmboxNotFound, MessageNotFound):
        return "the message or its box was deleted"
    if event.type == EventType.MESSAGE_TRANSCRIPTION_REQUESTED:
        return message, box
    if box.document.get("transcribe") is not True:
        return "the box does not transcribe"
    # A failed transcription is repeated when an operator retries, for example with another engine.
    if transcript_of(message.transcription) is not None:
        return "the message has a transcription"
    return message, box
