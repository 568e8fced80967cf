"""Legal holds: one function per statement of holds.sql."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import HoldNotFound, Invalid, MessageNotFound, Rule, TooManyHolds
from service.domain.hold import HeldCursor, HeldMessage, HeldPage, Hold
from service.domain.message import MessageId
from service.domain.page import NameCursor
from service.postgres.batches import id_values
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start

_SQL = load("holds")


async def insert_hold(connection: Connection, hold: Hold, max_holds: int) -> Hold:
    """Stores a hold; returns it with its creation time. Needs a transaction.

    Waits for the statements that are deleting messages; later ones respect the hold. Raises
    TooManyHolds, and Invalid for a caller number without a digit or letter.
    """
    values: dict[str, Any] = msgspec.structs.asdict(hold)
    del values["created_at"], values["revision"]
    await _SQL["lock_holds"].execute(connection)
    row = await _SQL["insert_hold"].fetchrow(connection, **values, max_holds=max_holds)
    if row is None:
        raise TooManyHolds(max_holds)
    if not row["is_number"]:
        raise Invalid.of("caller_id_number", Rule.WRONG_FORMAT, value=hold.caller_id_number)
    return _to_hold(row)


async def get_hold(connection: Connection, account_id: UUID, hold_id: UUID) -> Hold:
    """Returns a hold. Raises HoldNotFound."""
    row = await _SQL["get_hold"].fetchrow(connection, account_id=account_id, hold_id=hold_id)
    return _hold_or_raise(row, hold_id)


async def list_holds(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
) -> list[Hold]:
    """Returns the holds of an account by (name, id) from `start` on."""
    statement = _SQL["list_holds_descending" if descending else "list_holds"]
    rows = await statement.fetch(
        connection, account_id=account_id, **page_start(start, descending), limit=limit
    )
    return [_to_hold(row) for row in rows]


async def release_hold(connection: Connection, account_id: UUID, hold_id: UUID) -> Hold:
    """Deletes a hold and returns it. Raises HoldNotFound."""
    row = await _SQL["release_hold"].fetchrow(connection, account_id=account_id, hold_id=hold_id)
    return _hold_or_raise(row, hold_id)


async def filter_vmboxes(
    connection: Connection, account_id: UUID, vmbox_ids: Sequence[UUID]
) -> set[UUID]:
    """Returns the boxes that exist or whose messages are not yet purged."""
    rows = await _SQL["filter_vmboxes"].fetch(
        connection, account_id=account_id, vmbox_ids=vmbox_ids
    )
    return {row["vmbox_id"] for row in rows}


async def is_month_held(connection: Connection, month: int) -> bool:
    """Returns True when a hold covers a message of the month (YYYYMM), of any account."""
    is_held: bool = await _SQL["is_month_held"].fetchval(connection, month=month)
    return is_held


async def filter_held(
    connection: Connection, account_id: UUID, vmbox_id: UUID, ids: Sequence[MessageId]
) -> set[MessageId]:
    """Returns the removed messages of a box that a hold keeps."""
    rows = await _SQL["filter_held"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id, **id_values(ids)
    )
    return {MessageId(row["month"], row["id"]) for row in rows}


async def select_held(
    connection: Connection, account_id: UUID, vmbox_id: UUID, ids: Sequence[MessageId]
) -> set[MessageId]:
    """Returns the messages among `ids` of a box that a hold covers, removed or not."""
    rows = await _SQL["select_held"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id, **id_values(ids)
    )
    return {MessageId(row["month"], row["id"]) for row in rows}


async def list_held_messages(
    connection: Connection,
    account_id: UUID,
    hold_id: UUID,
    start: HeldCursor,
    limit: int,
    scan_limit: int,
) -> HeldPage:
    """Returns the messages that a hold covers, the last stored first, removed ones included.

    Reads at most `scan_limit` messages, so a page may have fewer messages than `limit`.
    """
    rows = await _SQL["list_held_messages"].fetch(
        connection,
        account_id=account_id,
        hold_id=hold_id,
        start_month=start.month,
        start_id=start.id,
        limit=limit + 1,
        scan_limit=scan_limit,
    )
    following = None
    if len(rows) > limit or (rows and rows[-1]["position"] == scan_limit):
        last = rows.pop()
        following = HeldCursor(last["month"], last["id"])
    return HeldPage(messages=[_to_held(row) for row in rows], next=following)


async def get_held_message(
    connection: Connection, account_id: UUID, hold_id: UUID, message_id: MessageId
) -> HeldMessage:
    """Returns a message that a hold covers, removed or not. Raises MessageNotFound."""
    row = await _SQL["get_held_message"].fetchrow(
        connection,
        account_id=account_id,
        hold_id=hold_id,
        month=message_id.month,
        message_id=message_id.id,
    )
    if row is None:
        raise MessageNotFound(str(message_id))
    return _to_held(row)


def _hold_or_raise(row: asyncpg.Record | None, hold_id: UUID) -> Hold:
    if row is None:
        raise HoldNotFound(hold_id.hex)
    return _to_hold(row)


def _to_hold(row: asyncpg.Record) -> Hold:
    boxes = row["vmbox_ids"]
    return Hold(
        account_id=row["account_id"],
        hold_id=row["hold_id"],
        name=row["name"],
        reason=row["reason"],
        vmbox_ids=None if boxes is None else tuple(boxes),
        caller_id_number=row["caller_id_number"],
        received_from=row["received_from"],
        received_to=row["received_to"],
        created_at=row["created_at"],
    )


def _to_held(row: asyncpg.Record) -> HeldMessage:
    return HeldMessage(message=to_message(row), removed_at=row["removed_at"])
