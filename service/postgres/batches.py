"""Many messages at once: rows <-> domain; one function per statement of batches.sql."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from service.domain.batch import Reason
from service.domain.errors import VmboxNotFound
from service.domain.message import Folder, Message, MessageId
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("batches")

_REASONS = {
    "message_gone": Reason.NOT_FOUND,
    "expired": Reason.EXPIRED,
    "conflict": Reason.CONFLICT,
}


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One message that is to appear in another box; `copied` is the message as it was read."""

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
    """Files messages; for each why it failed, or None. Raises VmboxNotFound."""
    rows = await connection.fetch(
        _SQL["change_folders"],
        account_id,
        vmbox_id,
        *_columns(ids),
        folder,
        retained_since,
        reason,
        traceparent(),
    )
    return _outcomes(rows, vmbox_id)


async def remove_messages(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    ids: Sequence[MessageId],
    *,
    folder: Folder | None,
    reason: str,
) -> list[Reason | None]:
    """Removes messages, those of `folder` alone when it is given; for each why it failed, or None.

    Raises VmboxNotFound.
    """
    rows = await connection.fetch(
        _SQL["remove_messages"], account_id, vmbox_id, *_columns(ids), folder, reason, traceparent()
    )
    return _outcomes(rows, vmbox_id)


async def list_message_ids(
    connection: Connection, account_id: UUID, vmbox_id: UUID, folder: Folder | None, limit: int
) -> list[MessageId]:
    """The newest ids of a box."""
    rows = await connection.fetch(_SQL["list_message_ids"], account_id, vmbox_id, folder, limit)
    return [MessageId(row["month"], row["id"]) for row in rows]


async def get_messages(
    connection: Connection, account_id: UUID, vmbox_id: UUID, ids: Sequence[MessageId]
) -> dict[MessageId, Message]:
    """Those of the messages that are there."""
    rows = await connection.fetch(_SQL["get_messages"], account_id, vmbox_id, *_columns(ids))
    messages = [to_message(row) for row in rows]
    return {message.id: message for message in messages}


async def living_vmboxes(
    connection: Connection, account_id: UUID, vmbox_ids: Sequence[UUID]
) -> set[UUID]:
    """Those of the boxes that are there."""
    rows = await connection.fetch(_SQL["living_vmboxes"], account_id, list(vmbox_ids))
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
    """Moves or copies messages whose audio was copied before; for each why it failed, or None.

    All new ids must be of the same month. Raises VmboxNotFound when one of the boxes is gone.
    """
    months, ids, distinct = _columns([transfer.copied.id for transfer in transfers])
    rows = await connection.fetch(
        _SQL["transfer_messages"],
        account_id,
        source,
        target,
        months,
        ids,
        [transfer.copied.audio.key for transfer in transfers if transfer.copied.audio],
        [transfer.new_id.id for transfer in transfers],
        [transfer.new_key for transfer in transfers],
        distinct,
        transfers[0].new_id.month,
        now,
        retained_since,
        moved,
        realm,
        traceparent(),
    )
    return _outcomes(rows, target)


async def landed_messages(
    connection: Connection, account_id: UUID, ids: Sequence[MessageId]
) -> set[MessageId]:
    """Those of the ids, all of one month, that were ever stored."""
    if not ids:
        return set()
    month = ids[0].month
    rows = await connection.fetch(
        _SQL["landed_messages"], account_id, month, [message_id.id for message_id in ids]
    )
    return {MessageId(month, row["id"]) for row in rows}


def _columns(ids: Sequence[MessageId]) -> tuple[list[int], list[UUID], list[int]]:
    """The ids as two arrays, and the months that they name: what the planner prunes by."""
    months = [message_id.month for message_id in ids]
    return months, [message_id.id for message_id in ids], sorted(set(months))


def _outcomes(rows: Sequence[asyncpg.Record], vmbox_id: UUID) -> list[Reason | None]:
    if not rows or rows[0]["outcome"] == "vmbox_gone":
        raise VmboxNotFound(vmbox_id.hex)
    return [_REASONS.get(row["outcome"]) for row in rows]
