"""Deliveries: one function per statement of deliveries.sql."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.delivery import DeadDelivery, DeadDeliveryCursor, Delivery, Status, Target
from service.domain.events import NO_VMBOX, Event
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("deliveries")
_MAX_ERROR_LENGTH = 500


class DeliveryLease(msgspec.Struct, frozen=True, kw_only=True):
    """Number of deliveries to a target that the caller has leased."""

    account_id: UUID
    target: str
    number: int


class AttemptOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of an attempt. `state` None keeps the stored state."""

    status: Status
    attempts: int = 0
    delay_s: float = 0.0
    error: str | None = None
    state: Mapping[str, Any] | None = None


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """Delivery as stored. The target '' is the marker of the event."""

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


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of deliveries. None matches all."""

    account_id: UUID | None = None
    event_id: UUID | None = None
    channel: str | None = None
    target: str | None = None
    status: Status | None = None


async def register_channel(connection: Connection, channel: str, lookback_s: float) -> datetime:
    """Returns the start time of a channel. For a new channel, it is `lookback_s` ago."""
    started_at: datetime = await _SQL["register_channel"].fetchval(
        connection, channel=channel, lookback_s=lookback_s
    )
    return started_at


async def insert_marker(
    connection: Connection, account_id: UUID, event_id: UUID, channel: str
) -> bool:
    """Marks an event as fanned out. Returns False when it was fanned out or given up before."""
    inserted_id = await _SQL["insert_marker"].fetchval(
        connection, account_id=account_id, event_id=event_id, channel=channel
    )
    return inserted_id is not None


async def insert_targets(
    connection: Connection, event: Event, channel: str, targets: Sequence[Target]
) -> None:
    """Adds at least one target of an event. Existing targets do not change."""
    await _SQL["insert_targets"].execute(
        connection,
        account_id=event.account_id,
        event_id=event.event_id,
        channel=channel,
        event=_encoded_event(event),
        targets=[target.name for target in targets],
        states=[dict(target.state) for target in targets],
        delays_s=[target.delay_s for target in targets],
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
    """Records an event that cannot be fanned out."""
    await _SQL["insert_dead_marker"].execute(
        connection,
        account_id=account_id,
        event_id=event_id,
        channel=channel,
        event=None if event is None else _encoded_event(event),
        state=dict(state or {}),
        error=_truncate_error(error),
    )


async def lease_due(
    connection: Connection,
    channel: str,
    *,
    limit: int,
    per_target: int,
    lease_s: float,
    token: UUID,
    leases: Sequence[DeliveryLease],
) -> list[Delivery | DeliveryRow]:
    """Leases due deliveries under `token`. Returns a DeliveryRow for a row without an event."""
    records = await _SQL["lease_due"].fetch(
        connection,
        channel=channel,
        limit=limit,
        max_per_target=per_target,
        lease_s=lease_s,
        token=token,
        leased_account_ids=[lease.account_id for lease in leases],
        leased_targets=[lease.target for lease in leases],
        leased_numbers=[lease.number for lease in leases],
    )
    return [_delivery(record) for record in records]


async def record_attempt(
    connection: Connection, row: Delivery | DeliveryRow, token: UUID, outcome: AttemptOutcome
) -> bool:
    """Records an attempt. Returns False when the lease was lost or the row is not pending."""
    attempt = await _SQL["record_attempt"].fetchval(
        connection,
        **_key_values(row),
        token=token,
        status=outcome.status,
        attempts=outcome.attempts,
        delay_s=outcome.delay_s,
        error=None if outcome.error is None else _truncate_error(outcome.error),
        state=None if outcome.state is None else dict(outcome.state),
    )
    return attempt is not None


async def release_lease(connection: Connection, row: Delivery | DeliveryRow, token: UUID) -> None:
    """Releases a lease without an attempt."""
    await _SQL["release_lease"].execute(connection, **_key_values(row), token=token)


async def is_last_done(connection: Connection, delivery: Delivery) -> bool:
    """Returns True when all targets of the event are done.

    When several transactions complete one target each, exactly one of them gets True.
    """
    event = {
        "account_id": delivery.account_id,
        "event_id": delivery.event_id,
        "channel": delivery.channel,
    }
    await _SQL["lock_marker"].fetchrow(connection, **event)
    # A second statement, because its snapshot is taken after the lock.
    unfinished: int = await _SQL["count_unfinished"].fetchval(connection, **event)
    return unfinished == 0


async def list_deliveries(
    connection: Connection, filters: DeliveryFilter, limit: int
) -> list[DeliveryRow]:
    """Returns deliveries, newest first."""
    records = await _SQL["list_deliveries"].fetch(
        connection,
        account_id=filters.account_id,
        channel=filters.channel,
        status=filters.status,
        limit=limit,
    )
    return [_row(record) for record in records]


async def list_deliveries_of_event(
    connection: Connection, filters: DeliveryFilter
) -> list[DeliveryRow]:
    """Returns the rows of one event. The filter must contain the account and the event."""
    records = await _SQL["list_deliveries_of_event"].fetch(connection, **_key_values(filters))
    return [_row(record) for record in records]


async def retry_deliveries(connection: Connection, filters: DeliveryFilter) -> int:
    """Makes dead deliveries due again. Returns their number."""
    return await _SQL["retry_deliveries"].execute(connection, **_key_values(filters))


async def list_dead_deliveries(
    connection: Connection, account_id: UUID, start: DeadDeliveryCursor | None, limit: int
) -> list[DeadDelivery]:
    """Returns the dead deliveries of an account from `start` on, newest first."""
    records = await _SQL["list_dead_deliveries"].fetch(
        connection,
        account_id=account_id,
        created_at=start and start.created_at,
        event_id=start and start.event_id,
        channel=start and start.channel,
        target=start and start.target,
        limit=limit,
    )
    return [_dead_delivery(record) for record in records]


async def retry_dead_deliveries(connection: Connection, filters: DeliveryFilter, limit: int) -> int:
    """Makes dead deliveries of the account of the filter due again. Returns their number."""
    return await _SQL["retry_dead_deliveries"].execute(
        connection, **_key_values(filters), limit=limit
    )


async def drop_deliveries(connection: Connection, filters: DeliveryFilter) -> int:
    """Drops pending and dead deliveries. Returns their number."""
    return await _SQL["drop_deliveries"].execute(
        connection, **_key_values(filters), status=filters.status
    )


async def delete_old_deliveries(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes finished rows older than `before`. Returns their number."""
    return await _SQL["delete_old_deliveries"].execute(connection, before=before, limit=limit)


def _key_values(row: Delivery | DeliveryRow | DeliveryFilter) -> dict[str, Any]:
    return {
        "account_id": row.account_id,
        "event_id": row.event_id,
        "channel": row.channel,
        "target": row.target,
    }


def _truncate_error(error: str) -> str:
    return error.replace("\0", "")[:_MAX_ERROR_LENGTH]


def _encoded_event(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    return {**fields, "data": msgspec.Raw(event.data)}


def _decoded_event(stored: Mapping[str, Any]) -> Event:
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
        event=_decoded_event(record["event"]),
        state=record["state"],
    )


def _dead_delivery(record: asyncpg.Record) -> DeadDelivery:
    event = None if record["event"] is None else _decoded_event(record["event"])
    return DeadDelivery(
        event_id=record["event_id"],
        event_type=None if event is None else event.type,
        channel=record["channel"],
        target=record["target"],
        attempts=record["attempt"],
        error=record["last_error"],
        created_at=record["created_at"],
        failed_at=record["finished_at"],
        vmbox_id=None if event is None or event.vmbox_id == NO_VMBOX else event.vmbox_id,
        media_id=None if event is None else event.media_id,
    )


def _row(record: asyncpg.Record) -> DeliveryRow:
    fields = {name: record[name] for name in DeliveryRow.__struct_fields__}
    return DeliveryRow(**{**fields, "status": Status(record["status"])})
