"""Audio of messages with local times: one function per statement of recordings.sql."""

from collections.abc import Sequence
from datetime import tzinfo
from uuid import UUID

import asyncpg

from service.domain.audio_errors import AudioMissing
from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.message import Message, MessageId
from service.domain.recording import Recording, zone_of
from service.postgres.batches import get_messages
from service.postgres.messages import MessageKey, to_message
from service.postgres.months import fetchrow_of_month
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("recordings")


async def get_recording(
    connection: Connection, key: MessageKey, account_timezone: str | None
) -> Recording:
    """Returns a message with its audio. Raises VmboxNotFound, MessageNotFound, AudioMissing."""
    row = await fetchrow_of_month(connection, _SQL["get_recording"], **key.values())
    if row is None:
        raise VmboxNotFound(key.vmbox_id.hex)
    if row["id"] is None:
        raise MessageNotFound(str(key.message_id))
    recording = _recording(to_message(row), _zone(row, account_timezone))
    if recording is None:
        raise AudioMissing(str(key.message_id))
    return recording


async def get_recordings(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId],
    account_timezone: str | None,
) -> list[Recording]:
    """Returns the messages that exist and have audio, in order of `ids`. Raises VmboxNotFound."""
    row = await _SQL["get_timezones"].fetchrow(connection, account_id=account_id, vmbox_id=vmbox_id)
    if row is None:
        raise VmboxNotFound(vmbox_id.hex)
    zone = _zone(row, account_timezone)
    messages = await get_messages(connection, account_id, vmbox_id, ids)
    existing = (messages[message_id] for message_id in dict.fromkeys(ids) if message_id in messages)
    recordings = (_recording(message, zone) for message in existing)
    return [recording for recording in recordings if recording is not None]


def _recording(message: Message, zone: tzinfo) -> Recording | None:
    if message.audio is None:
        return None
    local_time = message.received_at.astimezone(zone)
    return Recording(message=message, audio=message.audio, local_time=local_time)


def _zone(row: asyncpg.Record, account_timezone: str | None) -> tzinfo:
    return zone_of(row["vmbox_timezone"], row["owner_timezone"], account_timezone)
