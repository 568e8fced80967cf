"""Deliveries: rows <-> domain; one function per statement of deliveries.sql."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.delivery import Delivery, Status, Target
from service.domain.events import Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("deliveries")
_LONGEST_ERROR = 500


class DeliveryLease(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries to a target somebody has in hand."""

    account_id: UUID
    target: str
    number: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written of an attempt; `state` None leaves it as it is."""

    status: Status
    attempts: int = 0
    delay_s: float = 0.0
    error: str | None = None
    state: Mapping[str, Any] | None = None


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as an operator sees it. The target '' is the event's own row."""

    account_id: UUID
    event_id: UUID
    channel: str
    target: str
    status: Status
    attempt: int
    next_at: datetime
    lease_until: datetime | None
    last_error: str | None
    event: dict[str, Any] | None
    state: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries by what they have in common; None asks nothing."""

    account_id: UUID | None = None
    event_id: UUID | None = None
    channel: str | None = None
    target: str | None = None
    status: Status | None = None


async def channel_began(connection: Connection, channel: str, looks_back_s: float) -> datetime:
    """When a channel was started first: if that is now, then `looks_back_s` ago."""
    began: datetime = await connection.fetchval(_SQL["channel_began"], channel, looks_back_s)
    return began


async def insert_marker(
    connection: Connection, account_id: UUID, event_id: UUID, channel: str
) -> bool:
    """False when the event was dealt out, or given up, before."""
    made = await connection.fetchval(_SQL["insert_marker"], account_id, event_id, channel)
    return made is not None


async def insert_targets(
    connection: Connection, event: Event, channel: str, targets: Sequence[Target]
) -> None:
    """Rows for targets, at least one; those that are there already stay as they are."""
    await connection.execute(
        _SQL["insert_targets"],
        event.account_id,
        event.event_id,
        channel,
        _stored(event),
        [target.name for target in targets],
        [dict(target.state) for target in targets],
        [target.delay_s for target in targets],
    )


async def insert_dead_marker(
    connection: Connection,
    account_id: UUID,
    event_id: UUID,
    channel: str,
    *,
    error: str,
    event: Event | None = None,
    state: Mapping[str, Any] | None = None,
) -> None:
    await connection.execute(
        _SQL["insert_dead_marker"],
        account_id,
        event_id,
        channel,
        None if event is None else _stored(event),
        dict(state or {}),
        _told(error),
    )


async def take_due(
    connection: Connection,
    channel: str,
    *,
    limit: int,
    per_target: int,
    lease_s: float,
    token: UUID,
    held: Sequence[DeliveryLease],
) -> list[Delivery | DeliveryRow]:
    """Due deliveries, leased under `token`; a bare row is one that has no event to deliver."""
    records = await connection.fetch(
        _SQL["take_due"],
        channel,
        limit,
        per_target,
        lease_s,
        token,
        [one.account_id for one in held],
        [one.target for one in held],
        [one.number for one in held],
    )
    return [_delivery(record) for record in records]


async def finish(
    connection: Connection, row: Delivery | DeliveryRow, token: UUID, written: Written
) -> bool:
    """False when the row is somebody else's by now, or was finished or dropped."""
    attempt = await connection.fetchval(
        _SQL["finish"],
        *_key(row),
        token,
        written.status,
        written.attempts,
        written.delay_s,
        None if written.error is None else _told(written.error),
        None if written.state is None else dict(written.state),
    )
    return attempt is not None


async def release(connection: Connection, row: Delivery | DeliveryRow, token: UUID) -> None:
    await connection.execute(_SQL["release"], *_key(row), token)


async def all_done(connection: Connection, delivery: Delivery) -> bool:
    """Whether every target of the event has had it. Of several that ask at once in transactions
    that finish a target each, exactly one, the last, is told so."""
    key = (delivery.account_id, delivery.event_id, delivery.channel)
    await connection.fetchrow(_SQL["hold_event"], *key)
    # A statement of its own: one that waited for the lock would still see what was before.
    unfinished: int = await connection.fetchval(_SQL["count_unfinished"], *key)
    return unfinished == 0


async def list_deliveries(
    connection: Connection, selection: Selection, limit: int
) -> list[DeliveryRow]:
    records = await connection.fetch(
        _SQL["list_deliveries"], selection.account_id, selection.channel, selection.status, limit
    )
    return [_row(record) for record in records]


async def show_deliveries(connection: Connection, selection: Selection) -> list[DeliveryRow]:
    """The rows of one event, which the selection must name with its account."""
    records = await connection.fetch(_SQL["show_deliveries"], *_which(selection))
    return [_row(record) for record in records]


async def retry_deliveries(connection: Connection, selection: Selection) -> int:
    """Has dead deliveries tried again; how many."""
    done = await connection.execute(_SQL["retry_deliveries"], *_which(selection))
    return int(done.rpartition(" ")[2])


async def drop_deliveries(connection: Connection, selection: Selection) -> int:
    """Gives deliveries up that wait or are dead; how many."""
    done = await connection.execute(_SQL["drop_deliveries"], *_which(selection), selection.status)
    return int(done.rpartition(" ")[2])


async def delete_old_deliveries(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes finished rows made before a moment; how many."""
    done = await connection.execute(_SQL["delete_old_deliveries"], before, limit)
    return int(done.rpartition(" ")[2])


def _key(row: Delivery | DeliveryRow) -> tuple[object, ...]:
    return row.account_id, row.event_id, row.channel, row.target


def _which(selection: Selection) -> tuple[object, ...]:
    return selection.account_id, selection.event_id, selection.channel, selection.target


def _told(error: str) -> str:
    return error.replace("\0", "")[:_LONGEST_ERROR]


def _stored(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    return {**fields, "data": msgspec.Raw(event.data)}


def _event(stored: Mapping[str, Any]) -> Event:
    fields = {**stored, "data": ""}
    event = msgspec.convert(fields, Event)
    return msgspec.structs.replace(event, data=msgspec.json.encode(stored["data"]))


def _delivery(record: asyncpg.Record) -> Delivery | DeliveryRow:
    if record["event"] is None:
        return _row(record)
    return Delivery(
        account_id=record["account_id"],
        event_id=record["event_id"],
        channel=record["channel"],
        target=record["target"],
        attempt=record["attempt"] + 1,
        created_at=record["created_at"],
        event=_event(record["event"]),
        state=record["state"],
    )


def _row(record: asyncpg.Record) -> DeliveryRow:
    fields = {name: record[name] for name in DeliveryRow.__struct_fields__}
    return DeliveryRow(**{**fields, "status": Status(record["status"])})
