"""Use cases of message lists: pages of a mailbox or account, ids that match a predicate."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.message import (
    FUTURE_ALLOWANCE,
    LAST_ID,
    Folder,
    MessageCursor,
    MessageId,
    MessagePage,
    MessageSummary,
    month_of,
)
from service.postgres import message_lists as rows
from service.postgres.message_lists import Window
from service.postgres.messages import MessageKey, get_received_at
from service.postgres.standby import Reads
from service.usecases.pages import CHUNK, iterate_pages, read_page
from service.usecases.retention import RetentionLookup

MessagePredicate = Callable[[MessageSummary], bool]

# Earlier than all messages.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a list. `since` and `until` are inclusive.

    Without `since` the list begins with the retention time; without `until` it has no end.

    The database filters by `folder`; it has an index for `new`. `predicate` filters the rows read.
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
    """Use cases of message lists. `clock` returns aware UTC.

    `hot` is a pool with generic plans, which suit statements on one message or a few months.
    """

    database: Reads
    hot: Reads
    clock: Callable[[], datetime]
    retention: RetentionLookup

    async def get_cursor(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId
    ) -> MessageCursor:
        """Returns the cursor of a message in the list of its mailbox.

        The message may have been removed. Raises VmboxNotFound, MessageNotFound.
        """
        key = MessageKey(account.account_id, vmbox_id, message_id)
        async with self.hot.connection() as connection:
            received_at = await get_received_at(connection, key)
        return MessageCursor(message_id.month, received_at, message_id.id)

    async def list_messages(
        self, account: AccountFacts, vmbox_id: UUID, query: ListQuery
    ) -> MessagePage:
        """Returns a page of a mailbox, newest first. Raises VmboxNotFound."""
        since = query.since
        if since is None:
            retention = await self.retention.of_vmbox(account, vmbox_id)
            since = retention.retained_since(self.clock())

        async def read(start: MessageCursor | None, limit: int) -> list[MessageSummary]:
            window = self._window(query, since, start, limit)
            database = self.hot if window.named_months else self.database
            async with database.connection() as connection:
                return await rows.list_messages(connection, account.account_id, vmbox_id, window)

        return await read_page(read, _cursor_of, query.start, query.limit, query.predicate)

    async def list_ids(
        self, account: AccountFacts, vmbox_id: UUID, predicate: MessagePredicate
    ) -> Sequence[str]:
        """Returns the ids of all messages of a mailbox for which `predicate` is true.

        Raises VmboxNotFound.
        """
        until = self.clock() + FUTURE_ALLOWANCE
        query = ListQuery(since=_EPOCH, until=until, limit=CHUNK, predicate=predicate)
        messages = iterate_pages(
            lambda start: self.list_messages(
                account, vmbox_id, msgspec.structs.replace(query, start=start)
            )
        )
        return [str(message.id) async for message in messages]

    async def list_account_messages(
        self,
        account: AccountFacts,
        query: ListQuery,
        vmbox_ids: Collection[UUID] | None = None,
    ) -> MessagePage:
        """Returns a page over all mailboxes of an account, or over `vmbox_ids`, newest first."""
        since = query.since
        if since is None:
            retention = (await self.retention.of_account(account)).longest
            since = retention.retained_since(self.clock())

        async def read(start: MessageCursor | None, limit: int) -> list[MessageSummary]:
            window = self._window(query, since, start, limit)
            async with self.database.connection() as connection:
                return await rows.list_account_messages(
                    connection, account.account_id, window, vmbox_ids
                )

        return await read_page(read, _cursor_of, query.start, query.limit, query.predicate)

    def _window(
        self, query: ListQuery, since: datetime, start: MessageCursor | None, limit: int
    ) -> Window:
        # The clock of another process may be ahead.
        until = query.until or self.clock() + FUTURE_ALLOWANCE
        first = MessageCursor(month_of(since), since, UUID(int=0))
        last = MessageCursor(month_of(until), until, LAST_ID)
        return Window(
            since=since,
            until=until,
            months=(first.month, last.month),
            folder=query.folder,
            start=start or (first if query.oldest_first else last),
            limit=limit,
            oldest_first=query.oldest_first,
        )


def _cursor_of(message: MessageSummary) -> MessageCursor:
    return MessageCursor(message.id.month, message.received_at, message.id.id)
