"""The event feed with large events and slow readers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import asyncpg
import pytest

from service.domain.account import AccountFacts
from service.domain.clock import utc_now
from service.postgres.feed import FeedSlice, read_feed, tail_feed
from service.postgres.months import ensure_ahead
from service.postgres.pool import Connection, Database
from service.usecases.feed import Feed, FeedCursor, FeedPage
from tests.support.builders import an_account
from tests.support.large_database import explained
from tests.support.relay import Box, a_box, fill
from tests.support.waiting import DEADLINE_S, wait_until

LARGE = 60_000
MOST_BYTES = 2 * 1024**2

_PUBLISH = """
WITH sent AS (
    UPDATE outbox SET published_at = now(), published_seq = seq, stream_seq = seq
    WHERE published_seq IS NULL
    RETURNING seq
)
UPDATE relay_state SET published_seq = (SELECT max(seq) FROM sent)
"""
_BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass"


async def publish(connection: asyncpg.Connection, box: Box, first: int, last: int) -> None:
    """Events of a box from one sequence to another, as if the relay had sent them."""
    await fill(connection, box, last, LARGE, first=first)
    await connection.execute(_PUBLISH)


def sequences(page: FeedPage) -> list[int]:
    return [event.event.sequence for event in page.events]


def assert_small(page: FeedPage) -> None:
    assert sum(len(event.event.data) for event in page.events) < MOST_BYTES + 2 * LARGE


@asynccontextmanager
async def following(
    feed: Feed, account: AccountFacts, since: FeedCursor
) -> AsyncIterator[AsyncIterator[FeedPage]]:
    """A client's stream, which ends when the block is left."""
    async with aclosing(feed.stream(account, None, since, 5)) as pages:  # type: ignore[type-var]
        yield pages


async def read_until(pages: AsyncIterator[FeedPage], last: int) -> list[int]:
    """The sequences that a stream shows up to `last`, page by page."""
    record: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while last not in record:
            page = await anext(pages)
            assert_small(page)
            record += sequences(page)
    return record


async def beginning(feed: Feed, account: AccountFacts) -> FeedCursor:
    return (await feed.get_page(account, None, None, 1)).next


@pytest.mark.parametrize("one_box", [False, True], ids=["account", "box"])
async def test_the_page_after_a_full_page_continues_where_it_ended(
    database: Database, inspector: asyncpg.Connection, one_box: bool
) -> None:
    feed, account = Feed(database), an_account()
    box = await a_box(inspector, account.account_id)
    cursor = await beginning(feed, account)
    await publish(inspector, box, 1, 80)
    record: list[int] = []
    more = True
    while more:
        page = await feed.get_page(account, [box.vmbox_id] if one_box else None, cursor, 1_000)
        assert_small(page)
        assert len(page.events) > 1
        record += sequences(page)
        cursor, more = page.next, page.more
    assert record == list(range(1, 81))
    assert cursor == await beginning(feed, account)


async def test_an_event_larger_than_a_page_is_returned(
    database: Database, inspector: asyncpg.Connection
) -> None:
    feed, account = Feed(database), an_account()
    cursor = await beginning(feed, account)
    await fill(inspector, await a_box(inspector, account.account_id), 2, MOST_BYTES + 1)
    await inspector.execute(_PUBLISH)
    page = await feed.get_page(account, None, cursor, 1_000)
    assert sequences(page) == [1]
    assert page.more
    assert sequences(await feed.get_page(account, None, page.next, 1_000)) == [2]


async def test_a_slow_reader_gets_all_events_in_small_pages(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account = an_account()
    box = await a_box(inspector, account.account_id)
    async with Feed(database, poll_s=0.01).tail_in_background() as feed:
        begin = await beginning(feed, account)
        await publish(inspector, box, 1, 80)
        async with (
            following(feed, account, begin) as fast,
            following(feed, account, begin) as slow,
        ):
            assert await read_until(fast, 80) == list(range(1, 81))
            assert await read_until(slow, 80) == list(range(1, 81))
            # From memory, and then from behind it.
            for first, last in ((81, 180), (181, 580)):
                await publish(inspector, box, first, last)
                assert await read_until(fast, last) == list(range(first, last + 1))
                assert await read_until(slow, last) == list(range(first, last + 1))


async def test_a_new_stream_after_a_closed_one_has_no_gap(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account = an_account()
    box = await a_box(inspector, account.account_id)
    async with Feed(database, poll_s=0.01).tail_in_background() as feed:
        begin = await beginning(feed, account)
        async with following(feed, account, begin) as second:
            assert sequences(await anext(second)) == []
            async with following(feed, account, begin) as first:
                await anext(first)
                await publish(inspector, box, 1, 5)
                assert await read_until(first, 5) == [1, 2, 3, 4, 5]
                lock = inspector.transaction()
                await lock.start()
                await inspector.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")

                async def the_tail_reads() -> bool:
                    return bool(await inspector.fetchval(_BLOCKED))

                await wait_until(the_tail_reads, every_s=0.01)
            # Nobody listens now; the one that comes has seen less than the tail.
            reading = asyncio.create_task(read_until(second, 6))
            await publish(inspector, box, 6, 6)
            await lock.commit()
            assert await reading == [1, 2, 3, 4, 5, 6]


@pytest.mark.long
async def test_a_page_reads_that_page_of_many_events(
    database: Database, inspector: asyncpg.Connection
) -> None:
    """Nothing was analyzed yet: the planner must not sort what it takes for a few rows."""
    # As many days as in a deployment; the clones of tests have fewer.
    await ensure_ahead(inspector, utc_now())
    box = await a_box(inspector)
    await fill(inspector, box, 100_000)
    await inspector.execute(_PUBLISH)
    after = 50_000
    reads: list[Callable[[Connection], Awaitable[FeedSlice]]] = [
        lambda c: read_feed(c, box.account_id, None, after, 1_000, MOST_BYTES),
        lambda c: read_feed(c, box.account_id, [box.vmbox_id], after, 1_000, MOST_BYTES),
        lambda c: tail_feed(c, after, 1_000, MOST_BYTES),
    ]
    for read in reads:
        plan, _ = await explained(database, read)
        assert plan.buffers < 300
