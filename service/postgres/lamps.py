"""What lamps are to show: rows <-> domain; one function per statement of lamps.sql."""

from uuid import UUID

import asyncpg

from service.domain.lamp import Lamp, LampKey
from service.domain.vmbox import comparable_number
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("lamps")


async def read_lamp(connection: Connection, key: LampKey) -> Lamp | None:
    """The level of a box's lamp as it is now; None when there is no such box."""
    row = await connection.fetchrow(_SQL["read_lamp"], key.account_id, key.vmbox_id)
    return None if row is None else _lamp(row)


async def read_lamp_of_mailbox(
    connection: Connection, account_id: UUID, mailbox: str
) -> Lamp | None:
    """The level of the box whose own number that is now; None when it is nobody's."""
    row = await connection.fetchrow(
        _SQL["read_lamp_of_mailbox"], account_id, comparable_number(mailbox), mailbox
    )
    return None if row is None else _lamp(row)


async def list_lamp_keys(connection: Connection, after: LampKey, limit: int) -> list[LampKey]:
    """The boxes behind `after`, of all accounts."""
    rows = await connection.fetch(_SQL["list_lamp_keys"], after.account_id, after.vmbox_id, limit)
    return [LampKey(row["account_id"], row["vmbox_id"]) for row in rows]


def _lamp(row: asyncpg.Record) -> Lamp:
    return Lamp.of(
        mailbox=row["mailbox"],
        new=row["new_count"],
        saved=row["saved_count"],
        epoch=row["epoch"],
        sequence=row["sequence"],
    )
