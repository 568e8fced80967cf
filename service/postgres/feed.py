"""Published events by `published_seq`: one function per statement of feed.sql."""

from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg
import msgspec

from service.domain.events import Event
from service.postgres.outbox import to_event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("feed")


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """Epoch, last `published_seq`, and lowest one kept (`latest` + 1 when no event is kept)."""

    epoch: int
    latest: int
    oldest: int


class PublishedEvent(msgspec.Struct, frozen=True):
    """Event and its `published_seq`."""

    number: int
    event: Event


class FeedSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive events. `more` is True when a limit ended the slice and more may follow.

    The event that reaches the limit in bytes is included, so an event of any size is read.
    """

    events: list[PublishedEvent]
    more: bool


async def feed_state(connection: Connection) -> FeedState:
    """Returns the bounds of the feed."""
    row = await _SQL["feed_state"].fetchrow(connection)
    assert row is not None, "both tables always have one row"
    latest = row["latest"]
    oldest = latest + 1 if row["oldest"] is None else row["oldest"]
    return FeedState(epoch=row["epoch"], latest=latest, oldest=oldest)


async def read_feed(
    connection: Connection,
    account_id: UUID,
    vmbox_ids: Collection[UUID] | None,
    after: int,
    limit: int,
    limit_bytes: int,
) -> FeedSlice:
    """Returns events of an account, or of some of its boxes, after a `published_seq`, in order."""
    rows = await _SQL["read_feed"].fetch(
        connection,
        account_id=account_id,
        vmbox_ids=vmbox_ids,
        after=after,
        limit=limit,
        limit_bytes=limit_bytes,
    )
    return _slice_of(rows, limit)


async def tail_feed(connection: Connection, after: int, limit: int, limit_bytes: int) -> FeedSlice:
    """Returns events of all accounts after a `published_seq`, in order."""
    rows = await _SQL["tail_feed"].fetch(
        connection, after=after, limit=limit, limit_bytes=limit_bytes
    )
    return _slice_of(rows, limit)


def _slice_of(rows: Sequence[asyncpg.Record], limit: int) -> FeedSlice:
    rows_before_cut = rows[0]["rows_before_cut"] if rows else 0
    events = [PublishedEvent(row["published_seq"], to_event(row)) for row in rows]
    more = rows_before_cut == limit or len(rows) < rows_before_cut
    return FeedSlice(events=events, more=more)
