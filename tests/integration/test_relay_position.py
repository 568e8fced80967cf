"""The relay lock: one relay is active, and another follows when it freezes or stops."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from service.bus import StreamSettings
from service.embedded.servers import EmbeddedServers
from service.postgres.outbox import lock_position
from service.postgres.pool import Database
from service.postgres.relay_lock import RelayLock
from tests.support.relay import a_box, all_sent, append, everything_in, running_relay, taken
from tests.support.waiting import wait_until

LEASE_S = 2.0

PROGRAM = """
import asyncio, sys
from service.bus import StreamSettings
from tests.support.relay import running_relay

async def main(database_url, nats_url, name, prefix):
    stream = StreamSettings(name=name, subject_prefix=prefix)
    async with running_relay(database_url, nats_url, stream) as relay:
        await relay.task

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def relay_process(
    database_url: str, nats_url: str, stream: StreamSettings
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, database_url, nats_url, stream.name, stream.subject_prefix),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def has_lock_sessions(inspector: asyncpg.Connection, count: int) -> bool:
    sessions = await inspector.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aftertone relay lock'"
        " AND datname = current_database()"
    )
    return bool(sessions == count)


async def test_a_frozen_relay_is_replaced_and_publishes_nothing_when_it_resumes(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    box = await a_box(inspector)
    async with relay_process(database_url, url, stream) as process:
        await append(inspector, box, times=10)
        await all_sent(inspector)
        async with running_relay(database_url, url, stream) as standby:
            os.kill(process.pid, signal.SIGSTOP)
            await append(inspector, box, times=10)
            await all_sent(inspector)
            os.kill(process.pid, signal.SIGCONT)
            await append(inspector, box, times=10)
            await all_sent(inspector)
            # The relay that froze has noticed that it lost the lock: it has a new session for it.
            await wait_until(lambda: has_lock_sessions(inspector, 2))
            assert standby.relay.active
    received = await everything_in(url, stream)
    assert [message.sequence for message in received] == list(range(1, 31))


async def test_a_lock_that_is_not_renewed_expires_for_its_holder_before_another_gets_it(
    database_url: str,
) -> None:
    async with (
        RelayLock.open(database_url, lease_s=2) as silent,
        RelayLock.open(database_url, lease_s=60) as other,
    ):
        first = await silent.try_acquire()
        assert first is not None
        assert silent.is_held
        second = await taken(other)
        assert not silent.is_held
        assert second.term == first.term + 1
        await silent.renew_until_lost()
        assert not silent.is_held


async def test_a_lock_that_is_renewed_outlives_its_lease(database_url: str) -> None:
    async with (
        RelayLock.open(database_url, lease_s=LEASE_S) as kept,
        RelayLock.open(database_url, lease_s=60) as other,
    ):
        assert await kept.try_acquire()
        first_lease_ends = time.monotonic() + LEASE_S
        keeping = asyncio.create_task(kept.renew_until_lost())
        await wait_until(lambda: time.monotonic() > first_lease_ends)
        assert kept.is_held
        assert await other.try_acquire() is None
        keeping.cancel()


async def test_a_relay_that_froze_in_a_transaction_blocks_no_other_relay(
    servers: EmbeddedServers,
    database_url: str,
    stream: StreamSettings,
) -> None:
    frozen = await asyncpg.connect(database_url)
    await frozen.execute("BEGIN")
    assert await lock_position(frozen, await frozen.fetchval("SELECT term FROM relay_state"))
    async with running_relay(database_url, servers.nats.url(), stream) as successor:
        await wait_until(lambda: successor.relay.active)
    frozen.terminate()


async def test_a_relay_that_stops_releases_its_lock(
    servers: EmbeddedServers,
    database_url: str,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    # The lease outlasts the test: the other relay becomes active only when the lock is released.
    async with running_relay(database_url, url, stream, lease_s=600) as first:
        await wait_until(lambda: first.relay.active)
        async with running_relay(database_url, url, stream, lease_s=600) as other:
            first.stop.set()
            await wait_until(lambda: other.relay.active)


async def test_a_relay_that_stops_completes_its_batch(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    box = await a_box(inspector)
    async with running_relay(database_url, servers.nats.url(), stream) as relay:
        await append(inspector, box)
        await all_sent(inspector)
        async with database.transaction() as transaction:
            await transaction.execute("SELECT FROM relay_state FOR UPDATE")
            await append(inspector, box, times=3)
            await wait_until(lambda: has_published(servers, stream, 2))
            relay.stop.set()
    received = await everything_in(servers.nats.url(), stream)
    marked = await inspector.fetchval("SELECT count(*) FROM outbox WHERE stream_seq IS NOT NULL")
    assert len(received) == marked > 1


async def has_published(servers: EmbeddedServers, stream: StreamSettings, least: int) -> bool:
    return len(await everything_in(servers.nats.url(), stream)) >= least
