"""Events over HTTP: pages and live streams, read from the outbox by the numbers of publication.

A cursor is `<epoch>.<number>`. Numbers are committed in order, so whoever has seen one has seen all
before it. One tail per process reads what is new and keeps the last of it for all connections.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.errors import DatabaseUnavailable, VmboxNotFound
from service.postgres import feed as rows
from service.postgres.batches import living_vmboxes
from service.postgres.feed import FeedState, Published
from service.postgres.pool import Database
from service.usecases.event_tail import EventTail

POLL_S = 0.1
_AGAIN_AFTER_OUTAGE_S = 1.0
_READ_AT_ONCE = 500
# A page that reaches it ends there; each client that reads slowly holds one.
_PAGE_BYTES = 2 * 1024**2


class FeedCursor(msgspec.Struct, frozen=True):
    """How far a client has seen."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "FeedCursor | None":
        """The cursor that a text writes, or None."""
        epoch, dot, number = text.partition(".")
        digits = epoch + number
        if not dot or not (epoch and number and digits.isascii() and digits.isdecimal()):
            return None
        return cls(int(epoch), int(number)) if len(epoch) < 19 and len(number) < 19 else None


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events, where to go on, and whether the client has missed some: it must start anew.

    `more` when the page is full, in rows or in bytes: others may lie behind it.
    """

    events: list[Published]
    next: FeedCursor
    reset: bool
    more: bool


class Feed:
    """What has happened in an account, as pages and as it happens."""

    def __init__(self, database: Database, poll_s: float = POLL_S) -> None:
        self._database = database
        self._poll_s = poll_s
        self._listeners = 0
        self._wanted = asyncio.Event()
        self._news = asyncio.Condition()
        self._recent = EventTail()
        self._closed = False

    @asynccontextmanager
    async def tailing(self) -> AsyncIterator["Feed"]:
        """Reads what is new in the background, while anybody listens."""
        task = asyncio.create_task(self._tail(), name="feed tail")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def close(self) -> None:
        """Ends every stream: whoever listens comes back to another process."""
        self._closed = True
        self._ending = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def check(self, account: AccountFacts, vmbox_id: UUID | None) -> None:
        """Raises VmboxNotFound."""
        if vmbox_id is None:
            return
        async with self._database.connection() as connection:
            if not await living_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)

    async def page(
        self,
        account: AccountFacts,
        vmbox_id: UUID | None,
        since: FeedCursor | None,
        limit: int,
    ) -> FeedPage:
        """The events after `since`, up to `limit` or 2 MiB; without it none, and the cursor to
        begin with.

        A cursor of another epoch, or one older than what is kept, is a reset: from the oldest kept.
        """
        async with self._database.connection() as connection:
            state = await rows.feed_state(connection)
            if since is None:
                now = FeedCursor(state.epoch, state.latest)
                return FeedPage(events=[], next=now, reset=False, more=False)
            after, reset = _begin(since, state)
            found = await rows.read_feed(
                connection, account.account_id, vmbox_id, after, limit, _PAGE_BYTES
            )
        # A page that is not full has seen everything there was, and what came since `state`.
        seen = found.events[-1].number if found.events else after
        following = FeedCursor(state.epoch, seen if found.more else max(state.latest, seen))
        return FeedPage(events=found.events, next=following, reset=reset, more=found.more)

    async def stream(
        self,
        account: AccountFacts,
        vmbox_id: UUID | None,
        since: FeedCursor | None,
        idle_s: float,
    ) -> AsyncIterator[FeedPage]:
        """Pages as things happen, for ever; an empty page each `idle_s` in which nothing does."""
        page = await self.page(account, vmbox_id, since, _READ_AT_ONCE)
        yield page
        while page.more:
            page = await self.page(account, vmbox_id, page.next, _READ_AT_ONCE)
            yield page
        cursor = page.next
        with self._listening(cursor.number):
            while not self._closed:
                page = await self._next(account, vmbox_id, cursor, idle_s)
                cursor = page.next
                yield page

    async def _next(
        self, account: AccountFacts, vmbox_id: UUID | None, cursor: FeedCursor, idle_s: float
    ) -> FeedPage:
        """What is new after `cursor`: from memory, or from the outbox for one who fell behind."""
        with suppress(TimeoutError):
            async with asyncio.timeout(idle_s), self._news:
                await self._news.wait_for(
                    lambda: self._recent.until > cursor.number or self._closed
                )
        if cursor.number < self._recent.base:
            return await self.page(account, vmbox_id, cursor, _READ_AT_ONCE)
        return self._remembered(account, vmbox_id, cursor)

    def _remembered(
        self, account: AccountFacts, vmbox_id: UUID | None, cursor: FeedCursor
    ) -> FeedPage:
        """What memory has after `cursor`, as much of it as belongs on a page."""
        seen = max(cursor.number, self._recent.until)
        fresh: list[Published] = []
        size = 0
        for one in self._recent.after(cursor.number):
            if one.event.account_id != account.account_id:
                continue
            if vmbox_id not in (None, one.event.vmbox_id):
                continue
            fresh.append(one)
            size += len(one.event.data)
            if size >= _PAGE_BYTES:
                seen = one.number
                break
        following = FeedCursor(cursor.epoch, seen)
        return FeedPage(events=fresh, next=following, reset=False, more=seen < self._recent.until)

    @contextmanager
    def _listening(self, number: int) -> Iterator[None]:
        if self._listeners == 0:
            # Nobody has listened for a while: what is remembered has a gap behind it.
            self._recent.reset(number)
        self._listeners += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                self._wanted.clear()

    async def _tail(self) -> None:
        while True:
            await self._wanted.wait()
            after = self._recent.until
            try:
                async with self._database.connection() as connection:
                    found = await rows.tail_feed(connection, after, _READ_AT_ONCE, _PAGE_BYTES)
            except DatabaseUnavailable:
                await asyncio.sleep(_AGAIN_AFTER_OUTAGE_S)
                continue
            if found.events:
                await self._tell(after, found.events)
            if not found.more:
                await asyncio.sleep(self._poll_s)

    async def _tell(self, after: int, found: list[Published]) -> None:
        """Remembers what was read after `after`, unless listeners began elsewhere meanwhile."""
        async with self._news:
            if self._recent.until == after:
                self._recent.extend(found)
                self._news.notify_all()


def _begin(since: FeedCursor, state: FeedState) -> tuple[int, bool]:
    """The number to read after, and whether something before it is missed."""
    known = since.epoch == state.epoch and state.oldest - 1 <= since.number <= state.latest
    return (since.number, False) if known else (state.oldest - 1, True)
