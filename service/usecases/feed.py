"""Feed of events: pages and live streams, read from the outbox by publication number.

A cursor is `<epoch>.<number>`. Numbers are committed in order, so a client that has read a number
has read all lower ones. One tail per process reads new events for all connections.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.errors import DatabaseUnavailable, VmboxNotFound
from service.postgres import feed as rows
from service.postgres.batches import filter_existing_vmboxes
from service.postgres.feed import FeedState, PublishedEvent
from service.postgres.pool import Database
from service.tasks import background_task
from service.usecases.event_tail import EventTail

POLL_S = 0.1
_RETRY_AFTER_OUTAGE_S = 1.0
_PAGE_EVENTS = 500
# Limit of a page; each slow client keeps one page in memory.
_PAGE_BYTES = 2 * 1024**2
_STREAM_PAGE_BYTES = 256 * 1024


class FeedCursor(msgspec.Struct, frozen=True):
    """Position of a client in the feed."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "FeedCursor | None":
        """Returns the cursor in `text`, or None when the format is wrong."""
        epoch, dot, number = text.partition(".")
        digits = epoch + number
        if not dot or not (epoch and number and digits.isascii() and digits.isdecimal()):
            return None
        return cls(int(epoch), int(number)) if len(epoch) < 19 and len(number) < 19 else None


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events and the cursor of the next page.

    `reset` is True when events before the page are missing, so that the client must synchronize
    again. `more` is True when the page is full and others may follow.
    """

    events: list[PublishedEvent]
    next: FeedCursor
    reset: bool
    more: bool


class Feed:
    """Events of an account, as pages and as a live stream."""

    def __init__(self, database: Database, poll_s: float = POLL_S) -> None:
        self._database = database
        self._poll_s = poll_s
        self._listeners = 0
        self._has_listeners = asyncio.Event()
        self._extended = asyncio.Condition()
        self._event_tail = EventTail()
        self._closed = False

    @asynccontextmanager
    async def tail_in_background(self) -> AsyncIterator["Feed"]:
        """Reads new events in the background while a stream is open."""
        async with background_task(self._tail(), "feed tail"):
            yield self

    def close(self) -> None:
        """Ends all streams; clients reconnect to another process."""
        self._closed = True
        self._closing = asyncio.create_task(self._notify_streams())

    async def _notify_streams(self) -> None:
        async with self._extended:
            self._extended.notify_all()

    async def check_vmbox(self, account: AccountFacts, vmbox_id: UUID | None) -> None:
        """Raises VmboxNotFound."""
        if vmbox_id is None:
            return
        async with self._database.connection() as connection:
            if not await filter_existing_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)

    async def get_page(
        self,
        account: AccountFacts,
        vmbox_ids: Collection[UUID] | None,
        since: FeedCursor | None,
        limit: int,
        max_bytes: int = _PAGE_BYTES,
    ) -> FeedPage:
        """Returns the events after `since` (of `vmbox_ids`, if given), bounded in count and size.

        Without `since` the page is empty and has the current cursor. A cursor of another epoch or
        of events that are no longer stored is a reset: the page starts with the oldest event.
        """
        async with self._database.connection() as connection:
            state = await rows.feed_state(connection)
            if since is None:
                now = FeedCursor(state.epoch, state.latest)
                return FeedPage(events=[], next=now, reset=False, more=False)
            after, reset = _start_after(since, state)
            read = await rows.read_feed(
                connection, account.account_id, vmbox_ids, after, limit, max_bytes
            )
        # A page that is not full contains all events, also those published after `state` was read.
        last = read.events[-1].number if read.events else after
        following = FeedCursor(state.epoch, last if read.more else max(state.latest, last))
        return FeedPage(events=read.events, next=following, reset=reset, more=read.more)

    async def stream(
        self,
        account: AccountFacts,
        vmbox_ids: Collection[UUID] | None,
        since: FeedCursor | None,
        idle_s: float,
    ) -> AsyncIterator[FeedPage]:
        """Yields pages as events are published; an empty page after `idle_s` without events."""
        page = await self.get_page(account, vmbox_ids, since, _PAGE_EVENTS, _STREAM_PAGE_BYTES)
        yield page
        while page.more:
            page = await self.get_page(
                account, vmbox_ids, page.next, _PAGE_EVENTS, _STREAM_PAGE_BYTES
            )
            yield page
        cursor = page.next
        with self._listening(cursor.number):
            while not self._closed:
                page = await self._read_next(account, vmbox_ids, cursor, idle_s)
                cursor = page.next
                yield page

    async def _read_next(
        self,
        account: AccountFacts,
        vmbox_ids: Collection[UUID] | None,
        cursor: FeedCursor,
        idle_s: float,
    ) -> FeedPage:
        """Returns the next page from the tail, or for a slow client from the outbox."""
        with suppress(TimeoutError):
            async with asyncio.timeout(idle_s), self._extended:
                await self._extended.wait_for(
                    lambda: self._event_tail.until > cursor.number or self._closed
                )
        if cursor.number < self._event_tail.base:
            return await self.get_page(account, vmbox_ids, cursor, _PAGE_EVENTS, _STREAM_PAGE_BYTES)
        return self._page_of_tail(account, vmbox_ids, cursor)

    def _page_of_tail(
        self, account: AccountFacts, vmbox_ids: Collection[UUID] | None, cursor: FeedCursor
    ) -> FeedPage:
        """Returns a page of the events that the tail has after `cursor`."""
        last = max(cursor.number, self._event_tail.until)
        events: list[PublishedEvent] = []
        size = 0
        for published in self._event_tail.events_after(cursor.number):
            event = published.event
            if event.account_id != account.account_id:
                continue
            if vmbox_ids is not None and event.vmbox_id not in vmbox_ids:
                continue
            events.append(published)
            size += len(event.data)
            if size >= _STREAM_PAGE_BYTES:
                last = published.number
                break
        following = FeedCursor(cursor.epoch, last)
        more = last < self._event_tail.until
        return FeedPage(events=events, next=following, reset=False, more=more)

    @contextmanager
    def _listening(self, number: int) -> Iterator[None]:
        if self._listeners == 0:
            # The tail was not read while no stream was open, so it has a gap.
            self._event_tail.reset(number)
        self._listeners += 1
        self._has_listeners.set()
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                self._has_listeners.clear()

    async def _tail(self) -> None:
        while True:
            await self._has_listeners.wait()
            after = self._event_tail.until
            try:
                async with self._database.connection() as connection:
                    read = await rows.tail_feed(connection, after, _PAGE_EVENTS, _PAGE_BYTES)
            except DatabaseUnavailable:
                await asyncio.sleep(_RETRY_AFTER_OUTAGE_S)
                continue
            if read.events:
                await self._extend_tail(after, read.events)
            if not read.more:
                await asyncio.sleep(self._poll_s)

    async def _extend_tail(self, after: int, events: list[PublishedEvent]) -> None:
        """Adds events read after the number `after`, unless the tail was reset in the meantime."""
        async with self._extended:
            if self._event_tail.until == after:
                self._event_tail.extend(events)
                self._extended.notify_all()


def _start_after(since: FeedCursor, state: FeedState) -> tuple[int, bool]:
    """Returns the number to read after, and True when events before it are missing."""
    is_stored = since.epoch == state.epoch and state.oldest - 1 <= since.number <= state.latest
    return (since.number, False) if is_stored else (state.oldest - 1, True)
