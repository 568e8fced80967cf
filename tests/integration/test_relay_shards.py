"""Shards of the relays: division, changes while events are written, and unexpected errors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.bus import StreamSettings
from service.domain.relay_shards import BUCKETS
from service.embedded.servers import EmbeddedServers
from service.postgres.feed import PublishedEvent, tail_feed
from service.postgres.pool import Database
from service.workers.relay import Relay
from tests.support.database_errors import count_failures, failing_updates
from tests.support.relay import (
    Box,
    RunningRelay,
    a_box,
    all_sent,
    append,
    everything_in,
    fill,
    published_numbers,
    running_relay,
    sequences,
)
from tests.support.waiting import wait_until


@asynccontextmanager
async def writing(database: Database, boxes: Sequence[Box]) -> AsyncIterator[None]:
    """Appends events to the boxes during the block."""
    is_writing = True

    async def write() -> None:
        while is_writing:
            async with database.connection() as connection:
                for box in boxes:
                    await append(connection, box)

    writer = asyncio.create_task(write())
    try:
        yield
    finally:
        is_writing = False
        await writer


async def assert_complete(
    servers: EmbeddedServers,
    stream: StreamSettings,
    inspector: asyncpg.Connection,
    boxes: Sequence[Box],
) -> None:
    """Checks that the stream has each event once, in order, and that the numbers have no gap."""
    await all_sent(inspector)
    received = await everything_in(servers.nats.url(), stream)
    by_box = sequences(received)
    for box in boxes:
        last = await inspector.fetchval(
            "SELECT sequence FROM vmbox_counts WHERE vmbox_id = $1", box.vmbox_id
        )
        assert by_box[box.vmbox_id.hex] == list(range(1, last + 1))
    assert await published_numbers(inspector) == list(range(1, len(received) + 1))


def divided(*relays: Relay) -> bool:
    buckets = [bucket for relay in relays for bucket in relay.buckets]
    return sorted(buckets) == list(range(BUCKETS)) and all(relay.active for relay in relays)


async def test_shards_are_divided_again_when_a_relay_joins_dies_or_changes_their_number(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(12)]
    url = servers.nats.url()
    relays: list[RunningRelay] = []
    async with AsyncExitStack() as stack:

        async def start(shards: int) -> Relay:
            running = running_relay(database_url, url, stream, shards=shards)
            relays.append(await stack.enter_async_context(running))
            return relays[-1].relay

        async with writing(database, boxes):
            first, second = await start(4), await start(4)
            await wait_until(lambda: divided(first, second))
            third = await start(8)
            await wait_until(lambda: divided(first, second, third))
            assert sorted(len(relay.buckets) // 8 for relay in (first, second, third)) == [2, 3, 3]
            await relays[0].kill()
            await wait_until(lambda: divided(second, third))
            fourth = await start(2)
            rest = (second, third, fourth)
            await wait_until(lambda: sorted(len(relay.buckets) for relay in rest) == [0, 32, 32])
        await assert_complete(servers, stream, inspector, boxes)


async def test_the_feed_skips_no_event_while_several_relays_number_them(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(16)]
    url = servers.nats.url()
    events: list[PublishedEvent] = []
    async with AsyncExitStack() as stack:
        relays = [
            (await stack.enter_async_context(running_relay(database_url, url, stream))).relay
            for _ in range(4)
        ]
        await wait_until(lambda: divided(*relays))

        async def has_read_all() -> bool:
            async with database.connection() as connection:
                after = events[-1].number if events else 0
                events.extend((await tail_feed(connection, after, 50, 1_000_000)).events)
            return len(events) >= 16 * 50

        async with asyncio.TaskGroup() as group:
            group.create_task(wait_until(has_read_all))
            for _ in range(50):
                for box in boxes:
                    await append(inspector, box)
    assert [event.number for event in events] == list(range(1, 16 * 50 + 1))
    for box in boxes:
        of_box = [e.event.sequence for e in events if e.event.vmbox_id == box.vmbox_id]
        assert of_box == list(range(1, 51))


@pytest.mark.parametrize("sqlstate", ["XX000", "P0001"])
async def test_an_unexpected_error_of_the_database_does_not_end_the_relay(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
    sqlstate: str,
) -> None:
    box = await a_box(inspector)
    before = count_failures()
    async with running_relay(database_url, servers.nats.url(), stream):
        async with failing_updates(inspector, "relay_state", sqlstate):
            await append(inspector, box, times=3)
            # The setting of the number of shards also updates the table.
            await wait_until(lambda: count_failures() > before)
        await assert_complete(servers, stream, inspector, [box])


async def test_a_relay_waits_for_one_of_a_release_without_shards(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    old = await asyncpg.connect(database_url)
    lock = "SELECT pg_{}advisory_lock(hashtextextended('aftertone relay', 0))"
    await old.execute(lock.format(""))
    await append(inspector, await a_box(inspector))
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%relay_locks%'"
    async with running_relay(database_url, servers.nats.url(), stream) as running:
        await wait_until(lambda: has_rows(inspector, sessions))
        assert not running.relay.active
        await old.close()
        await all_sent(inspector)
        assert not await inspector.fetchval(lock.format("try_"))


async def has_rows(inspector: asyncpg.Connection, count: str) -> bool:
    return bool(await inspector.fetchval(count))


async def test_events_without_a_box_are_spread_by_account(inspector: asyncpg.Connection) -> None:
    none = UUID(int=0)
    buckets = {
        await inspector.fetchval("SELECT relay_bucket($1, $2)", uuid4(), none) for _ in range(400)
    }
    assert len(buckets) > BUCKETS // 2
    assert buckets <= set(range(BUCKETS))


@pytest.mark.long
async def test_a_backlog_of_all_buckets_is_published_by_one_relay(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(100)]
    for box in boxes:
        await fill(inspector, box, 30)
    async with running_relay(database_url, servers.nats.url(), stream):
        await all_sent(inspector)
    received = sequences(await everything_in(servers.nats.url(), stream))
    assert received == {box.vmbox_id.hex: list(range(1, 31)) for box in boxes}
