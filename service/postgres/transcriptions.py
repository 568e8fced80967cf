"""Transcriptions of messages: rows <-> domain; one function per statement."""

from typing import Any

from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("transcriptions")


async def transcribe_message(
    connection: Connection, place: MessageKey, audio_key: str, transcription: dict[str, Any]
) -> bool:
    """Stores what was heard in that audio, with its event; False when the message is gone or has
    other audio by now."""
    sequence = await connection.fetchval(
        _SQL["transcribe_message"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
        audio_key,
        transcription,
        traceparent(),
    )
    return sequence is not None
