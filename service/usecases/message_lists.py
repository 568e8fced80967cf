"""What one may ask about lists of messages: a page of a box or of an account, and what matches."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.message import (
    FUTURE_ALLOWANCE,
    Folder,
    Message,
    MessageCursor,
    MessageId,
    MessagePage,
    month_of,
    retained_since,
)
from service.postgres import message_lists as rows
from service.postgres.message_lists import Window
from service.postgres.messages import MessageKey, get_received_at
from service.postgres.pool import Database
from service.usecases.pages import read_page

Clock = Callable[[], datetime]
MessagePredicate = Callable[[Message], bool]

# Before every message.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 1_000


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is asked for; `since` and `until` belong to it, None means the retention.

    `folder` is found by an index where it is `new`; `predicate` filters the messages of the window.
    """

    since: datetime | None = None
    until: datetime | None = None
    folder: Folder | None = None
    start: MessageCursor | None = None
    limit: int = 50
    oldest_first: bool = False
    predicate: MessagePredicate | None = None


@dataclass(frozen=True)
class MessageLists:
    """The use cases of lists. `clock` gives aware UTC."""

    database: Database
    clock: Clock
    retention_days: int

    async def get_cursor(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId
    ) -> MessageCursor:
        """Where a message lies in the list of its box; where it lay, if it was removed.

        Raises VmboxNotFound, MessageNotFound.
        """
        place = MessageKey(account.account_id, vmbox_id, message_id)
        async with self.database.connection() as connection:
            received_at = await get_received_at(connection, place)
        return MessageCursor(message_id.month, received_at, message_id.id)

    async def page(self, account: AccountFacts, vmbox_id: UUID, query: ListQuery) -> MessagePage:
        """A page of a box, newest first, filled after filtering. Raises VmboxNotFound."""

        async def read(start: MessageCursor | None, limit: int) -> list[Message]:
            window = self._window(query, start, limit)
            async with self.database.connection() as connection:
                return await rows.list_messages(connection, account.account_id, vmbox_id, window)

        return await _page(read, query)

    async def list_ids(
        self, account: AccountFacts, vmbox_id: UUID, predicate: MessagePredicate
    ) -> Sequence[str]:
        """The ids of those messages of a box, of whatever time, that `predicate` holds of.

        Raises VmboxNotFound.
        """
        until = self.clock() + FUTURE_ALLOWANCE
        query = ListQuery(since=_EVER, until=until, limit=_AT_ONCE, predicate=predicate)
        found: list[str] = []
        while True:
            page = await self.page(account, vmbox_id, query)
            found += [str(message.id) for message in page.items]
            if page.next is None:
                return found
            query = msgspec.structs.replace(query, start=page.next)

    async def account_page(self, account: AccountFacts, query: ListQuery) -> MessagePage:
        """A page over all boxes of the account, newest first, filled after filtering."""

        async def read(start: MessageCursor | None, limit: int) -> list[Message]:
            window = self._window(query, start, limit)
            async with self.database.connection() as connection:
                return await rows.list_account_messages(connection, account.account_id, window)

        return await _page(read, query)

    def _window(self, query: ListQuery, start: MessageCursor | None, limit: int) -> Window:
        # Whole seconds, as messages are timed: one stored now is in a list that ends now.
        now = self.clock().replace(microsecond=0)
        until = query.until or now
        since = query.since or retained_since(now, self.retention_days)
        first = MessageCursor(month_of(since), since, UUID(int=0))
        last = MessageCursor(month_of(until), until, UUID(int=2**128 - 1))
        return Window(
            since=since,
            until=until,
            months=(first.month, last.month),
            folder=query.folder,
            start=start or (first if query.oldest_first else last),
            limit=limit,
            oldest_first=query.oldest_first,
        )


async def _page(
    read: Callable[[MessageCursor | None, int], Awaitable[list[Message]]], query: ListQuery
) -> MessagePage:
    return await read_page(read, _key_of, query.start, query.limit, query.predicate)


def _key_of(message: Message) -> MessageCursor:
    return MessageCursor(message.id.month, message.received_at, message.id.id)
