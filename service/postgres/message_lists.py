"""Lists of messages: rows <-> domain; one function per statement, in both directions of time."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import VmboxNotFound
from service.domain.message import Folder, Message, MessageCursor
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("message_lists")


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a list that a page is taken from; both ends belong to it."""

    since: datetime
    until: datetime
    months: tuple[int, int]
    folder: Folder | None
    start: MessageCursor
    limit: int
    oldest_first: bool = False


async def list_messages(
    connection: Connection, account_id: UUID, vmbox_id: UUID, window: Window
) -> list[Message]:
    """The messages of a box from `window.start` on, newest first. Raises VmboxNotFound."""
    rows = await connection.fetch(
        _SQL["list_messages_oldest_first" if window.oldest_first else "list_messages"],
        account_id,
        vmbox_id,
        *_window_columns(window),
    )
    if not rows:
        raise VmboxNotFound(vmbox_id.hex)
    return _messages(rows)


async def list_account_messages(
    connection: Connection, account_id: UUID, window: Window
) -> list[Message]:
    """The messages of all boxes of an account from `window.start` on, newest first."""
    name = "list_account_messages_oldest_first" if window.oldest_first else "list_account_messages"
    rows = await connection.fetch(_SQL[name], account_id, *_window_columns(window))
    return _messages(rows)


def _window_columns(window: Window) -> tuple[object, ...]:
    start = window.start
    return (
        *window.months,
        window.since,
        window.until,
        window.folder,
        start.month,
        start.received_at,
        start.id,
        window.limit,
    )


def _messages(rows: Sequence[asyncpg.Record]) -> list[Message]:
    """The messages of rows; a row of nulls is none."""
    return [to_message(row) for row in rows if row["id"] is not None]
