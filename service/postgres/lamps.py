"""States of lamps: one function per statement of lamps.sql."""

from uuid import UUID

import asyncpg

from service.domain.lamp import Lamp, LampKey
from service.domain.vmbox import comparable_number
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("lamps")


async def read_lamp(connection: Connection, key: LampKey) -> Lamp | None:
    """Returns the state of the lamp of a box, or None when the box does not exist."""
    row = await _SQL["read_lamp"].fetchrow(
        connection, account_id=key.account_id, vmbox_id=key.vmbox_id
    )
    return None if row is None else _lamp(row)


async def read_lamp_of_mailbox(
    connection: Connection, account_id: UUID, mailbox: str
) -> Lamp | None:
    """Returns the state of the lamp of the box with a number, or None when no box has it."""
    row = await _SQL["read_lamp_of_mailbox"].fetchrow(
        connection, account_id=account_id, number=comparable_number(mailbox), mailbox=mailbox
    )
    return None if row is None else _lamp(row)


async def list_lamp_keys(connection: Connection, after: LampKey, limit: int) -> list[LampKey]:
    """Returns the boxes after `after`, of all accounts."""
    rows = await _SQL["list_lamp_keys"].fetch(
        connection, after_account_id=after.account_id, after_vmbox_id=after.vmbox_id, limit=limit
    )
    return [LampKey(row["account_id"], row["vmbox_id"]) for row in rows]


def _lamp(row: asyncpg.Record) -> Lamp:
    return Lamp.of(
        mailbox=row["mailbox"],
        new=row["new_count"],
        saved=row["saved_count"],
        epoch=row["epoch"],
        sequence=row["sequence"],
    )
