"""Trash: one function per statement of trash.sql."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from service.domain.batch import Reason
from service.domain.errors import VmboxNotFound
from service.domain.message import MessageId, RemovedMessage, TrashCursor
from service.postgres.audit import event_values
from service.postgres.batches import id_values, read_outcomes
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("trash")


async def get_time(connection: Connection) -> datetime:
    """Returns the time of the database, by which removals are recorded."""
    now: datetime = await _SQL["get_time"].fetchval(connection)
    return now


async def list_trash(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    start: TrashCursor,
    limit: int,
    *,
    removed_after: datetime,
    retained_since: datetime,
) -> list[RemovedMessage]:
    """Returns messages that can be restored, the last removed first. Raises VmboxNotFound."""
    rows = await _SQL["list_trash"].fetch(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        start_removed_at=start.removed_at,
        start_month=start.month,
        start_id=start.id,
        limit=limit,
        removed_after=removed_after,
        retained_since=retained_since,
    )
    if not rows:
        raise VmboxNotFound(vmbox_id.hex)
    return [
        RemovedMessage(to_message(row), row["removed_at"]) for row in rows if row["id"] is not None
    ]


async def restore_messages(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId],
    *,
    removed_after: datetime,
    removed_until: datetime,
    retained_since: datetime,
    max_stored_bytes: int | None,
) -> list[Reason | None]:
    """Restores messages removed after `removed_after` and until `removed_until`.

    Returns for each the reason of its failure, or None. Raises VmboxNotFound.
    """
    rows = await _SQL["restore_messages"].fetch(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        **id_values(ids),
        removed_after=removed_after,
        removed_until=removed_until,
        retained_since=retained_since,
        max_stored_bytes=max_stored_bytes,
        **event_values(),
    )
    return read_outcomes(rows, vmbox_id)


async def purge_trash(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId] | None,
    limit: int,
) -> dict[MessageId, str | None]:
    """Deletes removed messages, all or those of `ids`. Returns their audio keys."""
    rows = await _SQL["purge_trash"].fetch(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        months=None if ids is None else [message_id.month for message_id in ids],
        message_ids=None if ids is None else [message_id.id for message_id in ids],
        limit=limit,
        **event_values(),
    )
    return {MessageId(row["month"], row["id"]): row["audio_key"] for row in rows}
