"""Reads for the verification: one function per statement of verification.sql."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import msgspec

from service.domain.message import Audio
from service.postgres.audio import to_audio
from service.postgres.pool import Connection, Database
from service.postgres.sql import load

_SQL = load("verification")

_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class AudioRow(msgspec.Struct, frozen=True, kw_only=True):
    """Audio of a message, or of a greeting (without a month and a box)."""

    account_id: UUID
    id: UUID
    audio: Audio
    month: int | None = None
    vmbox_id: UUID | None = None
    has_vmbox: bool = True


class AccountBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Stored bytes of an account, and the sum of its boxes and greetings."""

    account_id: UUID
    stored: int
    counted: int


async def estimate_audio(connection: Connection) -> int:
    """Returns the estimated number of messages and greetings."""
    estimate: int = await _SQL["estimate_audio"].fetchval(connection)
    return estimate


async def iterate_audio(
    database: Database, month: int | None, account_id: UUID | None, page_size: int
) -> AsyncIterator[AudioRow]:
    """Yields the audio of a month, or of all greetings (None), by account and id.

    Reads one page at a time. Rows that change meanwhile are returned in their old or new form.
    """
    after = (account_id or _FIRST_ID, _FIRST_ID)
    while True:
        async with database.connection() as connection:
            page = await list_audio(connection, month, after, account_id or _LAST_ID, page_size)
        for row in page:
            yield row
        if len(page) < page_size:
            return
        after = (page[-1].account_id, page[-1].id)


async def list_audio_keys(
    connection: Connection, month: int | None, owners: Sequence[tuple[UUID, UUID]]
) -> set[str]:
    """Returns the current audio keys of messages or greetings, given by account and id."""
    values = {
        "account_ids": [account_id for account_id, _ in owners],
        "ids": [owner_id for _, owner_id in owners],
    }
    if month is None:
        rows = await _SQL["list_greeting_keys"].fetch(connection, **values)
    else:
        rows = await _SQL["list_message_keys"].fetch(connection, month=month, **values)
    return {row["audio_key"] for row in rows}


async def list_account_bytes(
    connection: Connection, account_ids: Sequence[UUID]
) -> list[AccountBytes]:
    """Returns the stored bytes of accounts."""
    rows = await _SQL["list_account_bytes"].fetch(connection, account_ids=account_ids)
    return [AccountBytes(**row) for row in rows]


async def list_audio(
    connection: Connection,
    month: int | None,
    after: tuple[UUID, UUID],
    last_account_id: UUID,
    limit: int,
) -> list[AudioRow]:
    """Returns a page of the audio after an account and id."""
    after_account_id, after_id = after
    values = {
        "after_account_id": after_account_id,
        "after_id": after_id,
        "last_account_id": last_account_id,
        "limit": limit,
    }
    if month is None:
        rows = await _SQL["list_greeting_audio"].fetch(connection, **values)
    else:
        rows = await _SQL["list_message_audio"].fetch(connection, month=month, **values)
    result = []
    for row in rows:
        audio = to_audio(row)
        assert audio is not None, "the statement returns rows with audio"
        fields = {name: row[name] for name in AudioRow.__struct_fields__ if name in row}
        result.append(AudioRow(audio=audio, **fields))
    return result
