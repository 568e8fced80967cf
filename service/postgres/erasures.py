"""Erasures: one function per statement of erasures.sql. Those of the job run as the owner."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.erasure import Erasure, ErasureKind, ErasurePhase
from service.domain.errors import DeletionHeld, ErasureNotFound, Invalid, Rule
from service.domain.message import MessageId
from service.postgres.batches import id_values
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("erasures")
Cursor = dict[str, Any]


class FoundMessage(msgspec.Struct, frozen=True):
    """Message in the scope of a job, with its box."""

    id: MessageId
    vmbox_id: UUID


async def insert_erasure(
    connection: Connection,
    account_id: UUID,
    erasure_id: UUID,
    subject_id: UUID,
    kind: ErasureKind,
    number: str | None = None,
    name: str | None = None,
) -> Erasure:
    """Creates a job. Raises Invalid for a caller number without a digit or letter."""
    row = await _SQL["insert_erasure"].fetchrow(
        connection,
        account_id=account_id,
        erasure_id=erasure_id,
        subject_id=subject_id,
        kind=kind,
        caller_id_number=number,
        caller_id_name=name,
        phase=ErasurePhase.MESSAGES,
    )
    assert row is not None, "an insert returns its row"
    if row["caller"] in ("", "anonymous"):
        raise Invalid.of("caller_id_number", Rule.WRONG_FORMAT, value=number)
    return _to_erasure(row)


async def get_erasure(connection: Connection, account_id: UUID, erasure_id: UUID) -> Erasure:
    """Returns a job. Raises ErasureNotFound."""
    row = await _SQL["get_erasure"].fetchrow(
        connection, account_id=account_id, erasure_id=erasure_id
    )
    if row is None:
        raise ErasureNotFound(erasure_id.hex)
    return _to_erasure(row)


async def check_holds(
    connection: Connection, account_id: UUID, number: str | None = None, name: str | None = None
) -> None:
    """Raises DeletionHeld if holds cover messages of a person; without number, if there are any."""
    rows = await _SQL["list_blocking_holds"].fetch(
        connection, account_id=account_id, caller_id_number=number, caller_id_name=name
    )
    if rows:
        raise DeletionHeld({row["hold_id"].hex: row["name"] for row in rows})


async def list_unfinished(connection: Connection, limit: int) -> list[Erasure]:
    """Returns the next unfinished jobs of all accounts."""
    return [
        _to_erasure(row) for row in await _SQL["list_unfinished"].fetch(connection, limit=limit)
    ]


async def list_accounts_to_erase(
    connection: Connection, now: datetime, before: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Returns deleted accounts whose time in the trash has passed, with their parents."""
    rows = await _SQL["list_accounts_to_erase"].fetch(
        connection, now=now, before=before, limit=limit
    )
    return [(row["account_id"], row["parent_id"]) for row in rows]


async def has_unfinished(connection: Connection, account_id: UUID, subject_id: UUID) -> bool:
    """Returns True when an account is being erased."""
    has_any: bool = await _SQL["has_unfinished"].fetchval(
        connection, account_id=account_id, subject_id=subject_id
    )
    return has_any


async def record_progress(
    connection: Connection,
    job: Erasure,
    phase: ErasurePhase,
    counter: str,
    count: int,
    pending_keys: Sequence[str] = (),
) -> None:
    """Records the phase of a job and adds `count` to a counter."""
    await _SQL["record_progress"].execute(
        connection,
        account_id=job.account_id,
        erasure_id=job.erasure_id,
        phase=phase,
        counter=counter,
        count=count,
        pending_keys=pending_keys,
    )


async def finish_erasure(connection: Connection, job: Erasure) -> None:
    """Finishes a job and deletes the number and the name of the person."""
    await _SQL["finish_erasure"].execute(
        connection, account_id=job.account_id, erasure_id=job.erasure_id
    )


async def list_messages(
    connection: Connection, job: Erasure, after: MessageId, scan_limit: int
) -> tuple[list[FoundMessage], MessageId | None]:
    """Returns the messages in scope among the next ones, and the last one that was read.

    The latter is None at the end.
    """
    rows = await _SQL["list_messages"].fetch(
        connection,
        account_id=job.subject_id,
        **_person(job),
        after_month=after.month,
        after_id=after.id,
        scan_limit=scan_limit,
    )
    found = [
        FoundMessage(MessageId(row["month"], row["id"]), row["vmbox_id"])
        for row in rows
        if row["is_in_scope"]
    ]
    is_full = bool(rows) and rows[-1]["position"] == scan_limit
    return found, MessageId(rows[-1]["month"], rows[-1]["id"]) if is_full else None


async def redact_messages(
    connection: Connection, account_id: UUID, vmbox_id: UUID, ids: Sequence[MessageId]
) -> list[MessageId]:
    """Redacts messages of a box that are not held, and prevents new holds. Returns their ids."""
    rows = await _SQL["redact_messages"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id, **id_values(ids)
    )
    return [MessageId(row["month"], row["id"]) for row in rows]


async def delete_messages(
    connection: Connection, account_id: UUID, ids: Sequence[MessageId]
) -> list[str | None]:
    """Deletes messages. Returns their audio keys."""
    rows = await _SQL["delete_messages"].fetch(connection, account_id=account_id, **id_values(ids))
    return [row["audio_key"] for row in rows]


async def redact_outbox(
    connection: Connection, job: Erasure, after: Cursor | None, limit: int
) -> tuple[int, Cursor | None]:
    """Redacts events among the next ones. Returns their number and the next cursor."""
    start = after or {"after_vmbox_id": UUID(int=0), "after_sequence": -1}
    row = await _SQL["redact_outbox"].fetchrow(connection, **_page(job, start, limit))
    return _redacted(row, start)


async def redact_deliveries(
    connection: Connection, job: Erasure, after: Cursor | None, limit: int
) -> tuple[int, Cursor | None]:
    """Redacts deliveries among the next ones. Returns their number and the next cursor."""
    start = after or {"after_event_id": UUID(int=0), "after_channel": "", "after_target": ""}
    row = await _SQL["redact_deliveries"].fetchrow(connection, **_page(job, start, limit))
    return _redacted(row, start)


async def redact_answers(connection: Connection, job: Erasure) -> int:
    """Redacts stored responses. Returns their number."""
    return await _SQL["redact_answers"].execute(
        connection, account_id=job.subject_id, **_person(job)
    )


async def is_sent(connection: Connection, account_id: UUID, before: datetime) -> bool:
    """Returns True when the events from before `before` are in the stream."""
    is_complete: bool = await _SQL["is_sent"].fetchval(
        connection, account_id=account_id, before=before
    )
    return is_complete


async def match_events(connection: Connection, job: Erasure, events: Sequence[bytes]) -> list[int]:
    """Returns the indexes of the events of a person. `events` are JSON."""
    rows = await _SQL["match_events"].fetch(
        connection, **_person(job), events=[msgspec.Raw(event) for event in events]
    )
    return [row["position"] - 1 for row in rows]


async def find_mail(
    connection: Connection, job: Erasure, text: str, numbers: Sequence[str]
) -> bool:
    """Returns True when the text of a mail, or a number in it, is of a person."""
    is_found: bool = await _SQL["find_mail"].fetchval(
        connection, **_person(job), text=text, numbers=numbers
    )
    return is_found


async def delete_batch(connection: Connection, table: str, account_id: UUID, limit: int) -> int:
    """Deletes rows of `outbox`, `deliveries` or `attempts` of an account. Returns their number."""
    names = {
        "outbox": "delete_outbox",
        "deliveries": "delete_deliveries",
        "attempts": "delete_attempts",
    }
    return await _SQL[names[table]].execute(connection, account_id=account_id, limit=limit)


async def redact_audit(connection: Connection, account_id: UUID, limit: int) -> int:
    """Deletes the client addresses of records of the audit. Returns the number of records."""
    return await _SQL["redact_audit"].execute(connection, account_id=account_id, limit=limit)


async def delete_rows_of_account(connection: Connection, account_id: UUID) -> None:
    """Deletes the other rows of a deleted account, and its names. Needs a transaction."""
    await _SQL["delete_rows_of_account"].execute(connection, account_id=account_id)
    await _SQL["redact_account"].execute(connection, account_id=account_id)


def _page(job: Erasure, start: Cursor, limit: int) -> dict[str, Any]:
    return {"account_id": job.subject_id, **_person(job), **start, "limit": limit}


def _redacted(row: asyncpg.Record | None, start: Cursor) -> tuple[int, Cursor | None]:
    if row is None:
        return 0, None
    names = (name.removeprefix("after_") for name in start)
    return row["count"], {f"after_{name}": row[name] for name in names}


def _person(job: Erasure) -> dict[str, Any]:
    return {"caller": job.caller, "caller_id_name": job.caller_id_name}


def _to_erasure(row: asyncpg.Record) -> Erasure:
    return Erasure(
        account_id=row["account_id"],
        erasure_id=row["erasure_id"],
        subject_id=row["subject_id"],
        kind=ErasureKind(row["kind"]),
        caller_id_number=row["caller_id_number"],
        caller_id_name=row["caller_id_name"],
        caller=row["caller"],
        phase=ErasurePhase(row["phase"]),
        removed=row["removed"],
        pending_keys=tuple(row["pending_keys"]),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
