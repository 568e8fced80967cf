"""Outbox of the relay: one function per statement of outbox.sql."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum, auto
from itertools import accumulate
from uuid import UUID

import asyncpg
import msgspec

from service.domain.events import Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("outbox")

# Marking events as unsent may update every row that is kept.
_LONG_TIMEOUT_S = 1800.0


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row to be sent. `published` is True when it has its `published_seq` and is sent again."""

    event: Event
    bucket: int
    day: date
    seq: int
    published: bool


class OutboxBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in seq order, and what was recorded about the stream when they were read."""

    rows: list[OutboxRow]
    stream_seq: int = 0
    stream_losses: int = 0


class OutboxPage(OutboxBatch, frozen=True, kw_only=True):
    """Rows of one read. `end` is the highest seq that it has scanned.

    `hides_boxes` is True when a limit ended the page and it has more rows of a box than it returns.
    Without this box, a second read may find rows of others.
    """

    end: int
    hides_boxes: bool


class OutboxHead(msgspec.Struct, frozen=True, kw_only=True):
    """First unsent row, and the transactions that may still add earlier rows.

    `own_transaction` is above every transaction that had started to write before this read. All of
    these have ended once `oldest_running` of a later read has reached it.
    """

    today: date
    first_seq: int | None
    first_day: date | None
    oldest_running: int
    own_transaction: int


class RelayState(msgspec.Struct, frozen=True, kw_only=True):
    """Number of shards, and what the relays have recorded about the stream.

    `stream_seq` is the highest sequence that the stream acknowledged. `stream_losses` counts the
    republications after a loss.
    """

    shards: int
    stream_created_at: datetime | None
    stream_seq: int
    stream_losses: int


class MarkResult(Enum):
    """Result of marking rows as sent. Unless `MARKED`, no row was marked."""

    MARKED = auto()
    TERMS_ENDED = auto()
    STREAM_LOST_EVENTS = auto()


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row that the stream acknowledged at `stream_seq`."""

    row: OutboxRow
    stream_seq: int


async def read_unsent(
    connection: Connection,
    *,
    buckets: Sequence[int],
    after: int,
    days: tuple[date, date],
    excluded: Sequence[tuple[UUID, UUID]],
    limit: int,
    per_bucket: int,
    per_vmbox: int,
    limit_bytes: int,
) -> OutboxPage:
    """Returns unsent rows with a seq above `after`, of the days from first to last, both included.

    `excluded` lists boxes (account, box) to skip. The row that reaches `limit_bytes` is the last
    and is included, so an event of any size is read.
    """
    records = await _SQL["read_unsent"].fetch(
        connection,
        buckets=buckets,
        after=after,
        first_day=days[0],
        last_day=days[1],
        excluded_account_ids=[account_id for account_id, _ in excluded],
        excluded_vmbox_ids=[vmbox_id for _, vmbox_id in excluded],
        limit=limit,
        max_per_bucket=per_bucket,
        max_per_vmbox=per_vmbox,
        limit_bytes=limit_bytes,
    )
    if not records:
        return OutboxPage(rows=[], end=after, hides_boxes=False)
    first = records[0]
    is_full = first["page_rows"] == limit or first["fullest_bucket"] == per_bucket
    return OutboxPage(
        rows=[_row(record) for record in records],
        stream_seq=first["recorded_stream_seq"],
        stream_losses=first["stream_losses"],
        end=first["page_end"],
        hides_boxes=is_full and not first["page_cut"] and len(records) < first["page_rows"],
    )


def to_event(row: asyncpg.Record) -> Event:
    """Returns the event of a row of the outbox, whose data is text."""
    return Event(
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


def _row(record: asyncpg.Record) -> OutboxRow:
    return OutboxRow(
        event=to_event(record),
        bucket=record["bucket"],
        day=record["day"],
        seq=record["seq"],
        published=record["published"],
    )


async def read_outbox_head(connection: Connection, buckets: Sequence[int]) -> OutboxHead:
    """Returns the first unsent row of the buckets. Reads only the start of each in the index."""
    record = await _SQL["read_outbox_head"].fetchrow(connection, buckets=buckets)
    assert record is not None
    return OutboxHead(**dict(record))


async def read_relay_state(connection: Connection) -> RelayState:
    """Returns what the relays have recorded."""
    record = await _SQL["read_relay_state"].fetchrow(connection)
    assert record is not None, "the table always has one row"
    return RelayState(**dict(record))


async def mark_sent(
    connection: Connection, sent: Sequence[SentRow], terms: Mapping[int, int], stream_losses: int
) -> MarkResult:
    """Marks rows as sent, and numbers the new ones in seq order.

    `terms` are the terms of the buckets of these rows, and `stream_losses` the number that was read
    with the rows.
    """
    sent = sorted(sent, key=lambda item: item.row.seq)
    numbers = list(accumulate(not item.row.published for item in sent))
    days = [item.row.day for item in sent]
    record = await _SQL["mark_sent"].fetchrow(
        connection,
        buckets=list(terms.keys()),
        terms=list(terms.values()),
        stream_losses=stream_losses,
        stream_seq=max(item.stream_seq for item in sent),
        new_rows=numbers[-1],
        republished=numbers[-1] < len(sent),
        row_buckets=[item.row.bucket for item in sent],
        seqs=[item.row.seq for item in sent],
        numbers=numbers,
        stream_seqs=[item.stream_seq for item in sent],
        first_seq=sent[0].row.seq,
        last_seq=sent[-1].row.seq,
        first_day=min(days),
        last_day=max(days),
    )
    assert record is not None
    if not record["terms_hold"]:
        return MarkResult.TERMS_ENDED
    return MarkResult.MARKED if record["is_marked"] else MarkResult.STREAM_LOST_EVENTS


async def mark_unsent_from(connection: Connection, from_stream_seq: int) -> int:
    """Marks the rows that the stream stored at or after a sequence as unsent.

    Returns their number.
    """
    await _set_long_timeout(connection)
    return await _SQL["mark_unsent_from"].execute(
        connection, stream_seq=from_stream_seq, timeout_s=_LONG_TIMEOUT_S
    )


async def record_stream(connection: Connection, created_at: datetime) -> None:
    """Records the creation time of the first stream."""
    await _SQL["record_stream"].execute(connection, created_at=created_at)


async def record_loss(
    connection: Connection, created_at: datetime, *, stream_seq: int, losses: int
) -> bool:
    """Records that the stream has lost events. Returns False if another relay has done so.

    `losses` is the number of losses before this one. The transaction excludes `mark_sent`.
    """
    record = await _SQL["record_loss"].fetchrow(
        connection, created_at=created_at, stream_seq=stream_seq, losses=losses
    )
    return record is not None


async def get_republication(connection: Connection) -> tuple[datetime, datetime | None, bool]:
    """Returns the time now, the last republication, and True while rows wait for one."""
    record = await _SQL["get_republication"].fetchrow(connection)
    assert record is not None
    return record["now"], record["republished_at"], record["waiting"]


async def mark_unsent_between(connection: Connection, since: datetime, until: datetime) -> int:
    """Marks the rows that were published in a span of time as unsent. Returns their number."""
    await _set_long_timeout(connection)
    return await _SQL["mark_unsent_between"].execute(
        connection, since=since, until=until, timeout_s=_LONG_TIMEOUT_S
    )


async def _set_long_timeout(connection: Connection) -> None:
    await _SQL["set_statement_timeout"].execute(connection, duration=f"{int(_LONG_TIMEOUT_S)}s")


async def raise_epoch(connection: Connection) -> int:
    """Raises the epoch of the deployment. Returns the new one."""
    epoch: int = await _SQL["raise_epoch"].fetchval(connection)
    return epoch
