"""Transcriptions of messages: one function per statement of transcriptions.sql."""

from typing import Any

from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("transcriptions")


async def transcribe_message(
    connection: Connection, key: MessageKey, audio_key: str, transcription: dict[str, Any]
) -> bool:
    """Stores the transcription of an audio and appends the event.

    Returns False when the message was removed or no longer has this audio.
    """
    sequence = await _SQL["transcribe_message"].fetchval(
        connection,
        **key.values(),
        audio_key=audio_key,
        transcription=transcription,
        **event_values(),
    )
    return sequence is not None
