"""Audit: one function per statement of audit.sql, and the values of the current actor."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.audit import (
    Action,
    AuditCursor,
    AuditFilter,
    AuditRecord,
    Principal,
    Result,
    current_actor,
)
from service.domain.message import MessageId
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("audit")


class AuditScan(msgspec.Struct, frozen=True, kw_only=True):
    """Matching records in order. `scanned_to` is set when the scan ended before its window did."""

    records: list[AuditRecord]
    scanned_to: AuditCursor | None


def actor_values() -> dict[str, Any]:
    """Returns the parameters of a record that the current actor provides."""
    actor = current_actor()
    return {
        "principal": actor.principal,
        "principal_id": actor.principal_id,
        "credential_id": actor.credential_id,
        "peer": actor.peer,
        "request_id": actor.request_id,
    }


def event_values() -> dict[str, Any]:
    """Returns the parameters of the fragment `append_event` that do not depend on the event."""
    return {"traceparent": traceparent(), **actor_values()}


async def insert_change(
    connection: Connection, account_id: UUID, action: Action, target: UUID | str | None = None
) -> None:
    """Records a change by the current actor, which commits with the transaction of the change."""
    assert connection.is_in_transaction(), "a change and its record must commit together"
    await _SQL["insert_change"].execute(
        connection,
        account_id=account_id,
        action=action,
        target=target.hex if isinstance(target, UUID) else target,
        **actor_values(),
    )


async def insert_records(connection: Connection, records: Sequence[AuditRecord]) -> None:
    """Inserts records. Existing records do not change, so that a batch can be repeated."""
    await _SQL["insert_records"].execute(
        connection,
        account_ids=[record.account_id for record in records],
        times=[record.at for record in records],
        ids=[record.id for record in records],
        actions=[record.action for record in records],
        results=[record.result for record in records],
        principals=[record.principal for record in records],
        principal_ids=[record.principal_id for record in records],
        credential_ids=[record.credential_id for record in records],
        peers=[record.peer for record in records],
        request_ids=[record.request_id for record in records],
        vmbox_ids=[record.vmbox_id for record in records],
        months=[record.message_id and record.message_id.month for record in records],
        message_ids=[record.message_id and record.message_id.id for record in records],
        targets=[record.target for record in records],
    )


async def list_records(
    connection: Connection,
    account_id: UUID,
    selection: AuditFilter,
    start: AuditCursor,
    end: datetime,
    limit: int,
    *,
    scan_limit: int,
    ascending: bool = False,
) -> AuditScan:
    """Returns up to `limit` records from `start` to `end`, newest first unless `ascending`.

    Reads at most `scan_limit` rows. The bounds of `selection` are not used.
    """
    bound = "until" if ascending else "since"
    rows = await _SQL["list_records_ascending" if ascending else "list_records"].fetch(
        connection,
        account_id=account_id,
        start_at=start.at,
        start_id=start.id,
        scan_limit=scan_limit,
        action=selection.action,
        principal_id=selection.principal_id,
        vmbox_id=selection.vmbox_id,
        month=selection.message_id and selection.message_id.month,
        message_id=selection.message_id and selection.message_id.id,
        limit=limit,
        **{bound: end},
    )
    scanned_to = None
    if rows and rows[-1]["position"] == scan_limit:
        last = rows.pop()
        scanned_to = AuditCursor(last["at"], last["id"])
    return AuditScan(records=[_to_record(row) for row in rows], scanned_to=scanned_to)


def _to_record(row: asyncpg.Record) -> AuditRecord:
    return AuditRecord(
        account_id=row["account_id"],
        at=row["at"],
        id=row["id"],
        action=row["action"],
        result=Result(row["result"]),
        principal=Principal(row["principal"]),
        principal_id=row["principal_id"],
        credential_id=row["credential_id"],
        peer=row["peer"],
        request_id=row["request_id"],
        vmbox_id=row["vmbox_id"],
        message_id=None if row["month"] is None else MessageId(row["month"], row["message_id"]),
        target=row["target"],
    )
