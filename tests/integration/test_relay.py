"""Relay with real servers: order, numbers, queues, leadership."""

import asyncio

import asyncpg

from service.bus import StreamSettings
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.postgres.relay_shards import WAKEUP_CHANNEL, wake_relay
from tests.support.relay import (
    a_box,
    all_sent,
    append,
    everything_in,
    published_numbers,
    running_relay,
    sequences,
)
from tests.support.running import AccountClient
from tests.support.waiting import wait_until

CUT_THE_LOCKS = """
SELECT pg_terminate_backend(pid)
FROM (
    SELECT DISTINCT l.pid
    FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2
) AS holders
"""


async def test_events_of_a_box_arrive_in_order_and_gapless_under_concurrent_writers(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(4)]

    async def write() -> None:
        for turn in range(20):
            async with database.connection() as connection:
                await append(connection, boxes[turn % len(boxes)])

    async with running_relay(database_url, servers.nats.url(), stream):
        await asyncio.gather(*(write() for _ in range(16)))
        await all_sent(inspector)
    received = sequences(await everything_in(servers.nats.url(), stream))
    assert received == {box.vmbox_id.hex: list(range(1, 81)) for box in boxes}
    assert await published_numbers(inspector) == list(range(1, 321))


async def test_of_two_relays_with_one_shard_the_standby_takes_over_a_lost_connection(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    box = await a_box(inspector)
    url = servers.nats.url()
    async with (
        running_relay(database_url, url, stream, shards=1) as first,
        running_relay(database_url, url, stream, shards=1) as other,
    ):
        await append(inspector, box, times=30)
        await all_sent(inspector)
        assert first.relay.active != other.relay.active
        standby = other.relay if first.relay.active else first.relay
        async with database.connection() as connection:
            await connection.execute(CUT_THE_LOCKS)
        await wait_until(lambda: standby.active)
        await append(inspector, box, times=30)
        await all_sent(inspector)
    received = await everything_in(url, stream)
    assert [message.sequence for message in received] == list(range(1, 61))
    assert len({message.id for message in received}) == 60


async def test_events_wait_for_nats_and_arrive_in_order(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(3)]
    async with running_relay(database_url, servers.nats.url(), stream):
        for box in boxes:
            await append(inspector, box, times=5)
        await all_sent(inspector)
        await servers.nats.stop()
        try:
            for box in boxes:
                await append(inspector, box, times=100)
        finally:
            await servers.nats.start()
        await all_sent(inspector)
    received = sequences(await everything_in(servers.nats.url(), stream))
    assert received == {box.vmbox_id.hex: list(range(1, 106)) for box in boxes}
    assert await published_numbers(inspector) == list(range(1, 316))


async def test_an_idle_relay_publishes_at_once_when_it_is_woken(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    box = await a_box(inspector)
    # The poll interval is longer than the deadline of the test.
    idle = {"idle_after_s": 0.0, "idle_poll_s": 3600.0}
    async with running_relay(database_url, servers.nats.url(), stream, **idle) as running:
        await wait_until(lambda: running.relay.active)
        async with database.connection() as connection:
            await append(connection, box)
            await wake_relay(connection)
        await all_sent(inspector)
        running.stop.set()
        async with database.connection() as connection:
            await wake_relay(connection)


async def test_a_change_over_http_wakes_the_relay(account: AccountClient) -> None:
    woken = asyncio.Event()
    connection = await asyncpg.connect(account.service.environment["AFTERTONE_DATABASE_URL"])
    try:
        await connection.add_listener(WAKEUP_CHANNEL, lambda *_: woken.set())

        async def is_woken() -> bool:
            await account.a_vmbox()
            return woken.is_set()

        await wait_until(is_woken, every_s=1.0)
    finally:
        await connection.close()
