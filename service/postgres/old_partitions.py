"""Old partitions: days of the outbox, months of the audit and of messages, and their drop.

Run as the owner.
"""

from datetime import date, datetime
from enum import StrEnum

import asyncpg
import msgspec

from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("old_partitions")

# Errors for a partition that another session detaches or drops at the same time.
_CONCURRENT_DROP = (asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.UndefinedTableError)
_MUST_WAIT = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    *_CONCURRENT_DROP,
)


class DropState(StrEnum):
    """Last completed step of the drop of a partition."""

    ATTACHED = "attached"
    DETACHING = "detaching"
    DETACHED = "detached"


class OldPartition(msgspec.Struct, frozen=True, kw_only=True):
    """Partition that begins on a day, and the statements that drop it."""

    begins_on: date
    state: DropState
    detach: str
    finalize: str
    drop: str

    @property
    def month(self) -> int:
        """The month `YYYYMM` in which the partition begins."""
        return self.begins_on.year * 100 + self.begins_on.month


class MonthTable(msgspec.Struct, frozen=True, kw_only=True):
    """Table of the messages of a month, and its size with indexes."""

    month: int
    bytes: int
    state: DropState


class MonthCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of all messages and of removed messages of a month, and the bytes of their audio."""

    messages: int = 0
    removed: int = 0
    audio_bytes: int = 0


async def list_outbox_days(connection: Connection, before: date) -> list[OldPartition]:
    """Returns the days of the outbox before `before`, oldest first.

    Includes days whose drop was interrupted.
    """
    return await _list_old_partitions(connection, "outbox", "YYYYMMDD", before)


async def list_audit_months(connection: Connection, before: date) -> list[OldPartition]:
    """Returns the months of the audit that precede the month of `before`, oldest first."""
    return await _list_old_partitions(connection, "audit", "YYYYMM", before)


async def list_message_months(connection: Connection, before: date) -> list[OldPartition]:
    """Returns the months of messages that precede the month of `before`, oldest first.

    Includes months whose drop was interrupted.
    """
    return await _list_old_partitions(connection, "messages", "YYYYMM", before)


async def _list_old_partitions(
    connection: Connection, parent: str, name_format: str, before: date
) -> list[OldPartition]:
    rows = await _SQL["list_old_partitions"].fetch(
        connection, parent=parent, format=name_format, before=before
    )
    return [OldPartition(**{**row, "state": DropState(row["state"])}) for row in rows]


async def is_day_published(connection: Connection, day: date, published_before: datetime) -> bool:
    """Returns True when all events of a day were sent, and published before a time."""
    published: bool = await _SQL["is_day_published"].fetchval(
        connection, day=day, published_before=published_before
    )
    return published


async def drop_partition(connection: Connection, partition: OldPartition) -> bool:
    """Drops a partition without blocking writers. Returns False when it must wait.

    Runs outside a transaction, because DETACH CONCURRENTLY uses two transactions. Between them it
    waits for running statements, at most for the statement timeout. A later call continues.
    """
    try:
        await _detach(connection, partition)
        await connection.execute(partition.drop)
    except _MUST_WAIT:
        return False
    return True


async def drop_detached_month(connection: Connection, partition: OldPartition) -> bool:
    """Drops a month without messages, as `drop_partition`. The month may be attached.

    Returns False also when a message was stored in the meantime. Then the partition is attached
    again.
    """
    try:
        await _detach(connection, partition)
        dropped: bool = await _SQL["drop_detached_month"].fetchval(
            connection, month=partition.month
        )
    except _MUST_WAIT:
        return False
    return dropped


async def list_month_tables(connection: Connection) -> list[MonthTable]:
    """Returns the tables of all months, oldest first, with those that are being dropped."""
    rows = await _SQL["list_month_tables"].fetch(connection)
    return [MonthTable(**{**row, "state": DropState(row["state"])}) for row in rows]


async def count_month(connection: Connection, month: int) -> MonthCounts:
    """Counts the messages of a month. Reads all of them."""
    row = await _SQL["count_month"].fetchrow(connection, month=month)
    assert row is not None
    return MonthCounts(**row)


async def has_messages(connection: Connection, month: int) -> bool:
    """Returns True when a month has messages, removed or not."""
    found: bool = await _SQL["has_messages"].fetchval(connection, month=month)
    return found


async def is_month_overdue(
    connection: Connection,
    month: int,
    *,
    received_before: datetime,
    changed_before: datetime,
    removed_before: datetime,
) -> bool:
    """Returns True when a month has messages that should have been removed or purged."""
    overdue: bool = await _SQL["is_month_overdue"].fetchval(
        connection,
        month=month,
        received_before=received_before,
        changed_before=changed_before,
        removed_before=removed_before,
    )
    return overdue


async def _detach(connection: Connection, partition: OldPartition) -> None:
    match partition.state:
        case DropState.ATTACHED:
            await connection.execute(partition.detach)
        case DropState.DETACHING:
            await connection.execute(partition.finalize)
        case DropState.DETACHED:
            pass
