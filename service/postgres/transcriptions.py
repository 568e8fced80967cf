"""Transcriptions of messages: one function per statement of transcriptions.sql."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.domain.transcription import Word
from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("transcriptions")


async def transcribe_message(
    connection: Connection,
    key: MessageKey,
    audio_key: str,
    transcription: dict[str, Any],
    words: Sequence[Word] = (),
) -> bool:
    """Stores the transcription of an audio and appends the event.

    Returns False when the message was removed or no longer has this audio.
    """
    sequence = await _SQL["transcribe_message"].fetchval(
        connection,
        **key.values(),
        audio_key=audio_key,
        transcription=transcription,
        words=msgspec.json.encode(words).decode() if words else None,
        **event_values(),
    )
    return sequence is not None


async def get_transcription_words(connection: Connection, key: MessageKey) -> list[Word]:
    """Returns the words of a transcription; none when the engine gave only a text."""
    words = await _SQL["get_transcription_words"].fetchval(
        connection,
        account_id=key.account_id,
        month=key.message_id.month,
        message_id=key.message_id.id,
    )
    return [] if words is None else msgspec.json.decode(words, type=list[Word])
