"""Outbox of the relay: one function per statement of outbox.sql."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
import msgspec

from service.domain.events import Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("outbox")

# Marking events as unsent may update every row that is kept.
_LONG_TIMEOUT_S = 1800.0

WAKEUP_CHANNEL = "outbox"


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row to be sent. `published` is True when it has its `published_seq` and is sent again."""

    event: Event
    day: date
    seq: int
    published: bool


class OutboxPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in seq order. `scanned` also counts the rows that the limit per box excluded.

    `cut` is True when the limit in bytes ended the page: more rows follow.
    """

    rows: list[OutboxRow]
    scanned: int
    end: int
    cut: bool


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


class RelayPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Last `published_seq`, and the highest sequence that the stream acknowledged."""

    published_seq: int
    stream_seq: int


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row that the stream acknowledged at `stream_seq`."""

    row: OutboxRow
    stream_seq: int


async def wake_relay(connection: Connection) -> None:
    """Sets `RelayLock.wakeup` of all relays."""
    await _SQL["wake_relay"].fetchval(connection, channel=WAKEUP_CHANNEL)


async def read_unsent(
    connection: Connection,
    *,
    after: int,
    days: tuple[date, date],
    excluded: Sequence[tuple[UUID, UUID]],
    limit: int,
    per_vmbox: int,
    limit_bytes: int,
) -> OutboxPage:
    """Returns unsent rows with a seq above `after`, of the days from first to last, both included.

    `excluded` lists boxes (account, box) to skip. The row that reaches `limit_bytes` is the last
    and is included, so an event of any size is read.
    """
    records = await _SQL["read_unsent"].fetch(
        connection,
        after=after,
        first_day=days[0],
        last_day=days[1],
        excluded_account_ids=[account_id for account_id, _ in excluded],
        excluded_vmbox_ids=[vmbox_id for _, vmbox_id in excluded],
        limit=limit,
        max_per_vmbox=per_vmbox,
        limit_bytes=limit_bytes,
    )
    rows = [_row(record) for record in records]
    if not records:
        return OutboxPage(rows=rows, scanned=0, end=after, cut=False)
    first = records[0]
    return OutboxPage(
        rows=rows, scanned=first["page_rows"], end=first["page_end"], cut=first["page_cut"]
    )


def _row(record: asyncpg.Record) -> OutboxRow:
    event = Event(
        account_id=record["account_id"],
        vmbox_id=record["vmbox_id"],
        sequence=record["sequence"],
        event_id=record["event_id"],
        type=record["type"],
        created_at=record["created_at"],
        data=record["data"],
        media_id=record["media_id"],
        traceparent=record["traceparent"],
    )
    return OutboxRow(
        event=event, day=record["day"], seq=record["seq"], published=record["published"]
    )


async def read_outbox_head(connection: Connection) -> OutboxHead:
    """Returns the first unsent row. Reads only the start of the index."""
    record = await _SQL["read_outbox_head"].fetchrow(connection)
    assert record is not None
    return OutboxHead(**dict(record))


async def lock_position(connection: Connection, term: int) -> RelayPosition | None:
    """Locks the position of the relay until the transaction ends. Returns None if `term` ended."""
    record = await _SQL["lock_position"].fetchrow(connection, term=term)
    if record is None:
        return None
    return RelayPosition(published_seq=record["published_seq"], stream_seq=record["stream_seq"])


async def mark_sent(connection: Connection, sent: Sequence[SentRow], published_seq: int) -> int:
    """Marks rows as sent, and numbers the new ones in seq order after `published_seq`.

    The position must be locked. Returns the last number.
    """
    seqs, numbers, stream_seqs = [], [], []
    for item in sorted(sent, key=lambda item: item.row.seq):
        if not item.row.published:
            published_seq += 1
        seqs.append(item.row.seq)
        numbers.append(published_seq)
        stream_seqs.append(item.stream_seq)
    days = [item.row.day for item in sent]
    await _SQL["mark_sent"].execute(
        connection,
        seqs=seqs,
        published_seqs=numbers,
        stream_seqs=stream_seqs,
        first_seq=seqs[0],
        last_seq=seqs[-1],
        first_day=min(days),
        last_day=max(days),
    )
    return published_seq


async def update_position(
    connection: Connection, position: RelayPosition, *, republished: bool
) -> None:
    """Records the position of the relay, which must be locked."""
    await _SQL["update_position"].execute(
        connection,
        published_seq=position.published_seq,
        stream_seq=position.stream_seq,
        republished=republished,
    )


async def mark_unsent_from(connection: Connection, from_stream_seq: int) -> int:
    """Marks the rows that the stream stored at or after a sequence as unsent.

    Returns their number.
    """
    await _set_long_timeout(connection)
    return await _SQL["mark_unsent_from"].execute(
        connection, stream_seq=from_stream_seq, timeout_s=_LONG_TIMEOUT_S
    )


async def record_stream(connection: Connection, created_at: datetime, stream_seq: int) -> None:
    """Records the identity and the highest sequence of the stream. The position must be locked."""
    await _SQL["record_stream"].execute(connection, created_at=created_at, stream_seq=stream_seq)


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
