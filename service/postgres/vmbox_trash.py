"""Trash of deleted boxes: one function per statement of vmbox_trash.sql."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from service.domain.errors import VmboxNotFound
from service.domain.schema import Document
from service.domain.vmbox import DeletedVmbox, VmboxTrashCursor, numbers_of
from service.postgres.audit import event_values
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.postgres.vmboxes import translate_error, valid_greeting_ids

_SQL = load("vmbox_trash")


async def list_vmbox_trash(
    connection: Connection,
    account_id: UUID,
    start: VmboxTrashCursor,
    limit: int,
    *,
    deleted_after: datetime,
) -> list[DeletedVmbox]:
    """Returns the boxes that can be restored, the last deleted first."""
    rows = await _SQL["list_vmbox_trash"].fetch(
        connection,
        account_id=account_id,
        start_deleted_at=start.deleted_at,
        start_id=start.vmbox_id,
        limit=limit,
        deleted_after=deleted_after,
    )
    return [DeletedVmbox(**row) for row in rows]


async def lock_deleted_vmbox(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    *,
    deleted_after: datetime,
    deleted_until: datetime,
) -> Document | None:
    """Locks a box until the transaction ends. Returns its document, or None if it is not deleted.

    Raises VmboxNotFound for a box that cannot be restored.
    """
    row = await _SQL["lock_deleted_vmbox"].fetchrow(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        deleted_after=deleted_after,
        deleted_until=deleted_until,
    )
    if row is None or (row["is_deleted"] and row["document"] is None):
        raise VmboxNotFound(vmbox_id.hex)
    document: Document | None = row["document"]
    return document


async def restore_vmbox(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    document: Document,
    *,
    max_stored_bytes: int | None,
) -> bool:
    """Restores a locked box. Returns False if its messages exceed the quota of stored bytes.

    Raises NumberTaken, GreetingNotFound.
    """
    try:
        restored_id = await _SQL["restore_vmbox"].fetchval(
            connection,
            account_id=account_id,
            vmbox_id=vmbox_id,
            document=document,
            numbers=sorted(numbers_of(document)),
            greeting_ids=sorted(valid_greeting_ids(document)),
            max_stored_bytes=max_stored_bytes,
            **event_values(),
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise translate_error(error) from error
    return restored_id is not None


async def list_taken_numbers(
    connection: Connection, account_id: UUID, numbers: Collection[str]
) -> set[str]:
    """Returns the numbers, in comparable form, that boxes of the account have."""
    rows = await _SQL["list_taken_numbers"].fetch(
        connection, account_id=account_id, numbers=list(numbers)
    )
    return {row["number"] for row in rows}


async def begin_purge(
    connection: Connection, account_id: UUID, vmbox_ids: Sequence[UUID] | None, limit: int
) -> list[UUID]:
    """Prevents the restoration of deleted boxes, all or those of `vmbox_ids`. Returns their ids."""
    rows = await _SQL["begin_purge"].fetch(
        connection, account_id=account_id, vmbox_ids=vmbox_ids, limit=limit, **event_values()
    )
    return [row["vmbox_id"] for row in rows]


async def delete_emptied_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    """Deletes an emptied box, unless held messages are left."""
    values: dict[str, Any] = {"account_id": account_id, "vmbox_id": vmbox_id}
    await _SQL["delete_emptied_vmbox"].execute(connection, **values)
