"""Lists of messages: one function for the statements of both directions of time."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import VmboxNotFound
from service.domain.message import (
    CallerId,
    Folder,
    MessageCursor,
    MessageId,
    MessageSummary,
    month_after,
)
from service.postgres.messages import FOLDERS
from service.postgres.months import fetch_of_months
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("message_lists")

# Bounds the locks of a statement, and the number of different statements.
_MAX_NAMED_MONTHS = 6


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a page of messages, both ends included."""

    since: datetime
    until: datetime
    months: tuple[int, int]
    folder: Folder | None
    start: MessageCursor
    limit: int
    oldest_first: bool = False

    @property
    def named_months(self) -> tuple[int, ...]:
        """Months that a page can contain, newest first.

        Empty if `list_messages` must be planned with its values: for many months, and for the
        folder new, which has an index of its own.
        """
        first, last = self.months
        if self.oldest_first:
            first = max(first, self.start.month)
        else:
            last = min(last, self.start.month)
        named: list[int] = []
        while last >= first and len(named) <= _MAX_NAMED_MONTHS:
            named.append(last)
            last = month_after(last, -1)
        is_short = len(named) <= _MAX_NAMED_MONTHS and self.folder is not Folder.NEW
        return tuple(named) if is_short else ()


async def list_messages(
    connection: Connection, account_id: UUID, vmbox_id: UUID, window: Window
) -> list[MessageSummary]:
    """Returns the messages of a box from `window.start` on. Raises VmboxNotFound."""
    statement = _SQL["list_messages_oldest_first" if window.oldest_first else "list_messages"]
    rows = await fetch_of_months(
        connection,
        statement,
        window.named_months,
        account_id=account_id,
        vmbox_id=vmbox_id,
        **_window_values(window),
    )
    if not rows:
        raise VmboxNotFound(vmbox_id.hex)
    return to_summaries(rows)


async def list_account_messages(
    connection: Connection,
    account_id: UUID,
    window: Window,
    vmbox_ids: Collection[UUID] | None = None,
) -> list[MessageSummary]:
    """Returns the messages of an account, or of some of its boxes, from `window.start` on."""
    name = "list_account_messages_oldest_first" if window.oldest_first else "list_account_messages"
    rows = await _SQL[name].fetch(
        connection, account_id=account_id, vmbox_ids=vmbox_ids, **_window_values(window)
    )
    return to_summaries(rows)


def _window_values(window: Window) -> dict[str, Any]:
    return {
        "first_month": window.months[0],
        "last_month": window.months[1],
        "since": window.since,
        "until": window.until,
        "folder": window.folder,
        "start_month": window.start.month,
        "start_received_at": window.start.received_at,
        "start_id": window.start.id,
        "limit": window.limit,
    }


def to_summaries(rows: Iterable[Iterable[Any]]) -> list[MessageSummary]:
    """Returns the messages of rows, without the row of nulls of an empty page.

    The names are in the order of the fragment `message_summary`. A look-up of each column by its
    name would double the time of this function, which is a large part of the time of a list.
    """
    return [
        MessageSummary(
            MessageId(month, message_id),
            vmbox_id,
            FOLDERS[folder],
            received_at,
            length_ms,
            CallerId(number, name),
            call_id,
            from_uri,
            to_uri,
            transcription,
        )
        for (
            month,
            message_id,
            vmbox_id,
            folder,
            received_at,
            length_ms,
            number,
            name,
            call_id,
            from_uri,
            to_uri,
            transcription,
        ) in rows
        if message_id is not None
    ]
