"""Several messages at once: one function per statement of batches.sql."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.batch import Reason
from service.domain.errors import VmboxNotFound
from service.domain.message import Folder, Message, MessageId
from service.postgres.audit import event_values
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("batches")

_REASONS = {
    "message_not_found": Reason.NOT_FOUND,
    "expired": Reason.EXPIRED,
    "conflict": Reason.CONFLICT,
    "quota_exceeded": Reason.QUOTA_EXCEEDED,
}


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Message to be moved or copied. `copied` is the message as it was read."""

    copied: Message
    new_id: MessageId
    new_key: str


async def change_folders(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId],
    folder: Folder,
    *,
    retained_since: datetime,
    reason: str,
) -> list[Reason | None]:
    """Changes the folder of messages. Returns for each the reason of its failure, or None.

    Raises VmboxNotFound.
    """
    rows = await _SQL["change_folders"].fetch(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        **id_values(ids),
        folder=folder,
        retained_since=retained_since,
        reason=reason,
        **event_values(),
    )
    return read_outcomes(rows, vmbox_id)


async def remove_messages(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId],
    *,
    folder: Folder | None,
    reason: str,
) -> list[Reason | None]:
    """Removes messages. Returns for each the reason of its failure, or None.

    `folder` excludes messages of other folders. Raises VmboxNotFound.
    """
    rows = await _SQL["remove_messages"].fetch(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        **id_values(ids),
        folder=folder,
        reason=reason,
        **event_values(),
    )
    return read_outcomes(rows, vmbox_id)


async def list_message_ids(
    connection: Connection, account_id: UUID, vmbox_id: UUID, folder: Folder | None, limit: int
) -> list[MessageId]:
    """Returns the newest ids of a box."""
    rows = await _SQL["list_message_ids"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id, folder=folder, limit=limit
    )
    return [MessageId(row["month"], row["id"]) for row in rows]


async def get_messages(
    connection: Connection, account_id: UUID, vmbox_id: UUID, ids: Sequence[MessageId]
) -> dict[MessageId, Message]:
    """Returns the existing messages by id."""
    rows = await _SQL["get_messages"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id, **id_values(ids)
    )
    messages = [to_message(row) for row in rows]
    return {message.id: message for message in messages}


async def filter_existing_vmboxes(
    connection: Connection, account_id: UUID, vmbox_ids: Sequence[UUID]
) -> set[UUID]:
    """Returns the boxes that exist."""
    rows = await _SQL["filter_existing_vmboxes"].fetch(
        connection, account_id=account_id, vmbox_ids=list(vmbox_ids)
    )
    return {row["vmbox_id"] for row in rows}


async def transfer_messages(
    connection: Connection,
    account_id: UUID,
    source: UUID,
    target: UUID,
    transfers: Sequence[Transfer],
    *,
    moved: bool,
    now: datetime,
    retained_since: datetime,
    realm: str,
) -> list[Reason | None]:
    """Moves or copies messages whose audio was copied before.

    Returns for each the reason of its failure, or None. All new ids must be of one month. Raises
    VmboxNotFound when one of the boxes does not exist.
    """
    rows = await _SQL["transfer_messages"].fetch(
        connection,
        account_id=account_id,
        source_id=source,
        target_id=target,
        **id_values([transfer.copied.id for transfer in transfers]),
        copied_keys=[row.copied.audio.key for row in transfers if row.copied.audio],
        new_ids=[transfer.new_id.id for transfer in transfers],
        new_keys=[transfer.new_key for transfer in transfers],
        new_month=transfers[0].new_id.month,
        now=now,
        retained_since=retained_since,
        moved=moved,
        realm=realm,
        **event_values(),
    )
    return read_outcomes(rows, target)


async def filter_stored_ids(
    connection: Connection, account_id: UUID, ids: Sequence[MessageId]
) -> set[MessageId]:
    """Returns the ids that were ever stored, removed or not. All must be of one month."""
    if not ids:
        return set()
    month = ids[0].month
    rows = await _SQL["filter_stored_ids"].fetch(
        connection,
        account_id=account_id,
        month=month,
        message_ids=[message_id.id for message_id in ids],
    )
    return {MessageId(month, row["id"]) for row in rows}


def id_values(ids: Sequence[MessageId]) -> dict[str, Any]:
    """Returns the ids as two arrays, and their months, which the planner uses for pruning."""
    months = [message_id.month for message_id in ids]
    return {
        "months": months,
        "message_ids": [message_id.id for message_id in ids],
        "distinct_months": sorted(set(months)),
    }


def read_outcomes(rows: Sequence[asyncpg.Record], vmbox_id: UUID) -> list[Reason | None]:
    """Returns the reason of each failure, or None. Raises VmboxNotFound."""
    if not rows or rows[0]["outcome"] == "vmbox_not_found":
        raise VmboxNotFound(vmbox_id.hex)
    return [_REASONS.get(row["outcome"]) for row in rows]
