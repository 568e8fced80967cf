"""The outbox as the relay sees it: rows <-> events; one function per statement of outbox.sql."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
import msgspec

from service.domain.events import Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("outbox")

# Forgetting may touch every row that is kept.
_LONG_TIMEOUT_S = 1800.0


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be sent. `published` when it has its number already and is only sent again."""

    event: Event
    day: date
    seq: int
    published: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in seq order. `scanned` counts those that the limit per box left out as well.

    `cut` when the limit in bytes ended it: more lies behind it, however short it is.
    """

    rows: list[OutboxRow]
    scanned: int
    end: int
    cut: bool


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows to be sent begin, and which transactions may still add others.

    `own_transaction` is above every transaction that had begun to write before the survey. Once the
    `oldest_running` of a later survey has reached it, all those are over.
    """

    today: date
    first_seq: int | None
    first_day: date | None
    oldest_running: int
    own_transaction: int


class RelayPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The last number given, and the highest sequence that the stream acknowledged."""

    published_seq: int
    stream_seq: int


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the stream has acknowledged at `stream_seq`."""

    row: OutboxRow
    stream_seq: int


async def read_unsent(
    connection: Connection,
    *,
    after: int,
    days: tuple[date, date],
    without: Sequence[tuple[UUID, UUID]],
    limit: int,
    per_vmbox: int,
    limit_bytes: int,
) -> Page:
    """Rows to be sent with a seq above `after`, of the days from first to last, both included.

    `without` names boxes (account, box) to leave out. The row that reaches `limit_bytes` is the
    last, and belongs to the page: an event of any size is read.
    """
    records = await connection.fetch(
        _SQL["read_unsent"],
        after,
        *days,
        [account_id for account_id, _ in without],
        [vmbox_id for _, vmbox_id in without],
        limit,
        per_vmbox,
        limit_bytes,
    )
    rows = [_row(record) for record in records]
    if not records:
        return Page(rows=rows, scanned=0, end=after, cut=False)
    first = records[0]
    return Page(rows=rows, scanned=first["page_rows"], end=first["page_end"], cut=first["page_cut"])


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


async def survey(connection: Connection) -> Survey:
    """Where reading may begin; reads nothing but the head of the index."""
    record = await connection.fetchrow(_SQL["survey"])
    assert record is not None
    return Survey(**dict(record))


async def hold_place(connection: Connection, term: int) -> RelayPosition | None:
    """Locks the relay's place until the transaction ends; None when `term` is over."""
    record = await connection.fetchrow(_SQL["hold_place"], term)
    if record is None:
        return None
    return RelayPosition(published_seq=record["published_seq"], stream_seq=record["stream_seq"])


async def mark_sent(connection: Connection, sent: Sequence[SentRow], published_seq: int) -> int:
    """Marks rows as sent, and numbers the new ones in seq order after `published_seq`.

    The place must be held. Returns the last number given.
    """
    seqs, numbers, stream_seqs = [], [], []
    for one in sorted(sent, key=lambda one: one.row.seq):
        if not one.row.published:
            published_seq += 1
        seqs.append(one.row.seq)
        numbers.append(published_seq)
        stream_seqs.append(one.stream_seq)
    days = [one.row.day for one in sent]
    await connection.execute(
        _SQL["mark_sent"], seqs, numbers, stream_seqs, seqs[0], seqs[-1], min(days), max(days)
    )
    return published_seq


async def advance_place(connection: Connection, place: RelayPosition, *, republished: bool) -> None:
    """Notes how far the relay has come; the place must be held."""
    await connection.execute(
        _SQL["advance_place"], place.published_seq, place.stream_seq, republished
    )


async def forget_sent(connection: Connection, from_stream_seq: int) -> int:
    """Has rows that were sent at or after a sequence of the stream sent again; how many."""
    await _allow_long(connection)
    done = await connection.execute(_SQL["forget_sent"], from_stream_seq, timeout=_LONG_TIMEOUT_S)
    return int(done.rpartition(" ")[2])


async def know_stream(connection: Connection, created_at: datetime, stream_seq: int) -> None:
    """Notes which stream it is and how far it goes; the place must be held."""
    await connection.execute(_SQL["know_stream"], created_at, stream_seq)


async def last_republication(connection: Connection) -> tuple[datetime, datetime | None, bool]:
    """The time now, when rows were last sent again, and whether some still wait for that."""
    record = await connection.fetchrow(_SQL["last_republication"])
    assert record is not None
    return record["now"], record["republished_at"], record["waiting"]


async def forget_published_between(connection: Connection, since: datetime, until: datetime) -> int:
    """Has rows that were published in a span of time sent again; how many."""
    await _allow_long(connection)
    done = await connection.execute(
        _SQL["forget_published_between"], since, until, timeout=_LONG_TIMEOUT_S
    )
    return int(done.rpartition(" ")[2])


async def _allow_long(connection: Connection) -> None:
    await connection.fetchrow(_SQL["allow_long"], f"{int(_LONG_TIMEOUT_S)}s")


async def raise_epoch(connection: Connection) -> int:
    """Raises the deployment's epoch; the new one."""
    epoch: int = await connection.fetchval(_SQL["raise_epoch"])
    return epoch
