"""Published events, read by their numbers: rows <-> events; one function per statement."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from service.domain.events import Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("feed")


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """The epoch, the last number given, and the lowest one kept (`latest` + 1 when none is)."""

    epoch: int
    latest: int
    oldest: int


class Published(msgspec.Struct, frozen=True):
    """An event and the number that it was published under."""

    number: int
    event: Event


class FeedSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Events without a gap. `more` when a limit ended them: others may lie behind.

    The event that reaches the limit in bytes belongs to them: one of any size is read.
    """

    events: list[Published]
    more: bool


async def feed_state(connection: Connection) -> FeedState:
    row = await connection.fetchrow(_SQL["feed_state"])
    assert row is not None, "both tables always have their row"
    latest = row["latest"]
    oldest = latest + 1 if row["oldest"] is None else row["oldest"]
    return FeedState(epoch=row["epoch"], latest=latest, oldest=oldest)


async def read_feed(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID | None,
    after: int,
    limit: int,
    limit_bytes: int,
) -> FeedSlice:
    """Events of an account, or of one box, after a number and in order."""
    rows = await connection.fetch(
        _SQL["read_feed"], account_id, vmbox_id, after, limit, limit_bytes
    )
    return _stretch(rows, limit)


async def tail_feed(connection: Connection, after: int, limit: int, limit_bytes: int) -> FeedSlice:
    """Events of all accounts after a number and in order."""
    return _stretch(await connection.fetch(_SQL["tail_feed"], after, limit, limit_bytes), limit)


def _stretch(rows: Sequence[asyncpg.Record], limit: int) -> FeedSlice:
    found = rows[0]["found"] if rows else 0
    events = [_published(row) for row in rows]
    return FeedSlice(events=events, more=found == limit or len(rows) < found)


def _published(row: asyncpg.Record) -> Published:
    event = Event(
        account_id=row["account_id"],
        vmbox_id=row["vmbox_id"],
        sequence=row["sequence"],
        event_id=row["event_id"],
        type=row["type"],
        created_at=row["created_at"],
        data=row["data"],
        media_id=row["media_id"],
        traceparent=row["traceparent"],
    )
    return Published(row["published_seq"], event)
