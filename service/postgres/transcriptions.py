"""Transcriptions of messages: one function per statement of transcriptions.sql."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.audio_errors import AudioMissing
from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.message import MessageId
from service.domain.transcription import REQUEST_LIFETIME, TranscriptionSelection, Word
from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("transcriptions")


class _RequestOutcome(StrEnum):
    """Outcome of a request for a transcription."""

    REQUESTED = "requested"
    PENDING = "pending"
    NO_AUDIO = "no_audio"
    MESSAGE_NOT_FOUND = "message_not_found"


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
        words=encode_words(words),
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
    return decode_words(words)


def encode_words(words: Sequence[Word]) -> str | None:
    """Returns the stored form of words; None without words."""
    return msgspec.json.encode(words).decode() if words else None


def decode_words(words: str | None) -> list[Word]:
    """Returns stored words; none for None."""
    return [] if words is None else msgspec.json.decode(words, type=list[Word])


async def request_transcription(connection: Connection, key: MessageKey) -> bool:
    """Requests a transcription. Returns False when a request is pending.

    Raises VmboxNotFound, MessageNotFound, AudioMissing.
    """
    outcome = await _SQL["request_transcription"].fetchval(
        connection, **key.values(), lifetime=REQUEST_LIFETIME, **event_values()
    )
    if outcome is None:
        raise VmboxNotFound(key.vmbox_id.hex)
    match _RequestOutcome(outcome):
        case _RequestOutcome.MESSAGE_NOT_FOUND:
            raise MessageNotFound(str(key.message_id))
        case _RequestOutcome.NO_AUDIO:
            raise AudioMissing(str(key.message_id))
        case other:
            return other is _RequestOutcome.REQUESTED


async def list_transcribable(
    connection: Connection,
    account_id: UUID,
    selection: TranscriptionSelection,
    after: MessageId,
    limit: int,
) -> list[MessageKey]:
    """Returns the messages to transcribe after an id, in the order of their ids."""
    rows = await _SQL["list_transcribable"].fetch(
        connection,
        account_id=account_id,
        after_month=after.month,
        after_id=after.id,
        **_selection_values(selection),
        limit=limit,
    )
    return [
        MessageKey(account_id, row["vmbox_id"], MessageId(row["month"], row["id"])) for row in rows
    ]


async def count_transcribable(
    connection: Connection, account_id: UUID, selection: TranscriptionSelection, limit: int
) -> int:
    """Returns the number of messages to transcribe, at most `limit`."""
    count: int = await _SQL["count_transcribable"].fetchval(
        connection,
        account_id=account_id,
        after_month=selection.first.month,
        **_selection_values(selection),
        limit=limit,
    )
    return count


def _selection_values(selection: TranscriptionSelection) -> dict[str, Any]:
    return {
        "vmbox_id": selection.vmbox_id,
        "since": selection.since,
        "until": selection.until,
        "again": selection.again,
        "lifetime": REQUEST_LIFETIME,
    }
