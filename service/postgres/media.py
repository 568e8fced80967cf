"""Facts about audio, and outlines of recordings: one function per statement of media.sql."""

from typing import Any

import asyncpg
import msgspec

from service.domain.media import MediaFacts, Waveform
from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("media")


async def measure_message(
    connection: Connection,
    key: MessageKey,
    audio_key: str,
    facts: MediaFacts,
    waveform: Waveform,
    *,
    computed_length_ms: int,
) -> bool:
    """Stores the facts and the outline of an audio and appends the event.

    The measured duration replaces a stored length that is unknown or `computed_length_ms`. Returns
    False when the message was removed or no longer has this audio.
    """
    sequence = await _SQL["measure_message"].fetchval(
        connection,
        **key.values(),
        **_waveform_values(audio_key, waveform),
        facts=msgspec.to_builtins(facts),
        computed_length_ms=computed_length_ms,
        **event_values(),
    )
    return sequence is not None


async def get_waveform(connection: Connection, key: MessageKey, audio_key: str) -> Waveform | None:
    """Returns the stored outline of an audio of a message, or None."""
    row: asyncpg.Record | None = await _SQL["get_waveform"].fetchrow(
        connection, **_without_vmbox(key), audio_key=audio_key
    )
    return None if row is None else Waveform(duration_ms=row["duration_ms"], peaks=row["peaks"])


async def save_waveform(
    connection: Connection, key: MessageKey, audio_key: str, waveform: Waveform
) -> None:
    """Stores the outline of an audio, unless the message was removed or no longer has it."""
    await _SQL["save_waveform"].execute(
        connection, **key.values(), **_waveform_values(audio_key, waveform)
    )


async def delete_waveform(connection: Connection, key: MessageKey, audio_key: str) -> None:
    """Deletes the outline of a replaced audio of a message."""
    await _SQL["delete_waveform"].execute(connection, **_without_vmbox(key), audio_key=audio_key)


def _waveform_values(audio_key: str, waveform: Waveform) -> dict[str, Any]:
    return {
        "audio_key": audio_key,
        "duration_ms": waveform.duration_ms,
        "peaks": waveform.peaks,
    }


def _without_vmbox(key: MessageKey) -> dict[str, Any]:
    values = key.values()
    del values["vmbox_id"]
    return values
