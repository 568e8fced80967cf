"""The locks of the shards: another relay takes them over when their relay freezes or stops."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from service.bus import StreamSettings
from service.domain.clock import utc_now
from service.domain.errors import DatabaseUnavailable
from service.domain.relay_shards import BUCKETS
from service.embedded.servers import EmbeddedServers
from service.postgres.outbox import record_loss
from service.postgres.pool import Database
from service.postgres.relay_shards import ShardLocks
from tests.support.relay import (
    a_box,
    acquired,
    all_sent,
    append,
    everything_in,
    running_relay,
    sequences,
)
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


@pytest.mark.long
async def test_a_frozen_relay_is_replaced_and_publishes_nothing_when_it_resumes(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    boxes = [await a_box(inspector) for _ in range(8)]

    async def append_to_all() -> None:
        for box in boxes:
            await append(inspector, box, times=10)

    async with relay_process(database_url, url, stream) as process:
        await append_to_all()
        await all_sent(inspector)
        async with running_relay(database_url, url, stream) as other:
            await wait_until(lambda: other.relay.active)
            os.kill(process.pid, signal.SIGSTOP)
            await append_to_all()
            await all_sent(inspector)
            assert len(other.relay.buckets) == BUCKETS
            os.kill(process.pid, signal.SIGCONT)
            await append_to_all()
            await all_sent(inspector)
            # The relay that froze has noticed that it lost its locks: it has a new session.
            await wait_until(lambda: has_lock_sessions(inspector, 2))
    received = sequences(await everything_in(url, stream))
    assert received == {box.vmbox_id.hex: list(range(1, 31)) for box in boxes}


async def test_a_lock_that_is_not_renewed_expires_for_its_holder_before_another_gets_it(
    database_url: str,
) -> None:
    async with (
        ShardLocks.open(database_url, lease_s=2) as silent,
        ShardLocks.open(database_url, lease_s=60) as other,
    ):
        first = await acquired(silent, [5, 6])
        assert silent.is_held
        assert not await other.acquire([5, 6])
        second = await acquired(other, [5, 6])
        assert not silent.is_held
        assert second == {bucket: term + 1 for bucket, term in first.items()}
        with pytest.raises(DatabaseUnavailable):
            await silent.survey()
        assert not silent.is_held


async def test_a_lock_that_is_renewed_outlives_its_lease(database_url: str) -> None:
    async with (
        ShardLocks.open(database_url, lease_s=LEASE_S) as kept,
        ShardLocks.open(database_url, lease_s=60) as other,
    ):
        await acquired(kept, [5])
        first_lease_ends = time.monotonic() + LEASE_S

        async def first_lease_ended() -> bool:
            await kept.survey()
            return time.monotonic() > first_lease_ends

        await wait_until(first_lease_ended)
        assert kept.is_held
        assert not await other.acquire([5])


async def test_a_relay_that_froze_in_a_transaction_blocks_no_other_relay(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    frozen = await asyncpg.connect(database_url)
    await frozen.execute("BEGIN")
    assert await record_loss(frozen, utc_now(), stream_seq=0, losses=0)
    async with running_relay(database_url, servers.nats.url(), stream):
        await append(inspector, await a_box(inspector))
        await all_sent(inspector)
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
            await wait_until(lambda: len(other.relay.buckets) == BUCKETS)


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
