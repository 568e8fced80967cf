"""Use cases of legal holds: create, list, release, and read the held messages."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.errors import Invalid, Rule
from service.domain.hold import MAX_HOLDS, HeldCursor, HeldMessage, HeldPage, Hold
from service.domain.message import LAST_ID, MessageId
from service.domain.page import NameCursor, Page
from service.postgres import holds as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.audit import insert_change
from service.postgres.pool import Database
from service.postgres.vmboxes import get_vmbox
from service.usecases.audit import AuditQueue
from service.usecases.pages import CHUNK, read_page

# Maximum number of messages that a page reads. It bounds the cost of a hold with few messages.
SCAN_LIMIT = 5_000
_LAST_MESSAGE = HeldCursor(999_912, LAST_ID)


@dataclass(frozen=True)
class Holds:
    """Use cases of legal holds. The audit records every access and every change."""

    database: Database
    audit: AuditQueue

    async def create(self, hold: Hold) -> Hold:
        """Creates a hold. It covers the messages that exist and those that arrive later.

        Raises Invalid for an unknown mailbox or an empty time window, TooManyHolds,
        AccountNotFound.
        """
        since, until = hold.received_from, hold.received_to
        if since is not None and until is not None and until < since:
            raise Invalid.of("created_to", Rule.DATE_RANGE)
        async with self.database.transaction() as connection:
            await lock_account_for_share(connection, hold.account_id)
            ids = hold.vmbox_ids or ()
            if not set(ids) <= await rows.filter_vmboxes(connection, hold.account_id, ids):
                raise Invalid.of("vmbox_ids", Rule.NOT_FOUND)
            stored = await rows.insert_hold(connection, hold, MAX_HOLDS)
            await insert_change(connection, hold.account_id, Action.HOLD_CREATED, hold.hold_id)
        return stored

    async def get(self, account: AccountFacts, hold_id: UUID) -> Hold:
        """Returns a hold. Raises HoldNotFound."""
        async with self.database.connection() as connection:
            hold = await rows.get_hold(connection, account.account_id, hold_id)
        self.audit.record(Action.HOLD_READ, account.account_id, target=hold_id.hex)
        return hold

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        predicate: Callable[[Hold], bool] | None = None,
    ) -> Page[Hold, NameCursor]:
        """Returns a page of holds by name."""

        async def read(start: NameCursor | None, limit: int) -> list[Hold]:
            async with self.database.connection() as connection:
                return await rows.list_holds(
                    connection, account.account_id, start, limit, descending=descending
                )

        page = await read_page(read, _cursor_of, start, limit, predicate)
        self.audit.record(Action.HOLD_READ, account.account_id)
        return page

    async def release(self, account: AccountFacts, hold_id: UUID) -> Hold:
        """Ends a hold and returns it. Its messages follow the other rules again.

        Raises HoldNotFound.
        """
        async with self.database.transaction() as connection:
            hold = await rows.release_hold(connection, account.account_id, hold_id)
            await insert_change(connection, account.account_id, Action.HOLD_RELEASED, hold_id)
        return hold

    async def list_messages(
        self, account: AccountFacts, hold_id: UUID, start: HeldCursor | None, limit: int
    ) -> HeldPage:
        """Returns a page of the held messages, the last stored first, removed ones included.

        A page may have fewer messages than `limit`, and still a next page. Raises HoldNotFound.
        """
        await self.get(account, hold_id)
        return await self._read(account, hold_id, start, limit)

    async def get_message(
        self, account: AccountFacts, hold_id: UUID, message_id: MessageId
    ) -> HeldMessage:
        """Returns a held message. Raises HoldNotFound, MessageNotFound."""
        async with self.database.connection() as connection:
            await rows.get_hold(connection, account.account_id, hold_id)
            return await rows.get_held_message(connection, account.account_id, hold_id, message_id)

    async def select_held(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[MessageId]
    ) -> tuple[MessageId, ...]:
        """Returns the messages among `ids` of a box that a hold covers, in this order.

        Raises VmboxNotFound.
        """
        async with self.database.connection() as connection:
            await get_vmbox(connection, account.account_id, vmbox_id)
            held = await rows.select_held(connection, account.account_id, vmbox_id, ids)
        self.audit.record(Action.HOLD_READ, account.account_id, vmbox_id=vmbox_id)
        return tuple(message_id for message_id in ids if message_id in held)

    async def iterate_messages(
        self, account: AccountFacts, hold_id: UUID, start: HeldCursor | None
    ) -> AsyncIterator[HeldMessage]:
        """Yields the held messages from `start` on."""
        while True:
            page = await self._read(account, hold_id, start, CHUNK)
            for held in page.messages:
                yield held
            if page.next is None:
                return
            start = page.next

    async def _read(
        self, account: AccountFacts, hold_id: UUID, start: HeldCursor | None, limit: int
    ) -> HeldPage:
        async with self.database.connection() as connection:
            return await rows.list_held_messages(
                connection,
                account.account_id,
                hold_id,
                start or _LAST_MESSAGE,
                limit,
                max(SCAN_LIMIT, limit + 1),
            )


def _cursor_of(hold: Hold) -> NameCursor:
    return NameCursor(hold.name, hold.hold_id)
