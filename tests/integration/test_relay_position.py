"""Who is active: a relay that freezes is followed, one that stops leaves at once."""

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
from service.postgres.outbox import hold_place
from service.postgres.pool import Database
from service.postgres.relay_lock import RelayLock
from service.workers.relay import Relay
from tests.support.relay import a_box, all_sent, append, everything_in, running_relay, taken
from tests.support.waiting import wait_until

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


async def is_active(relay: Relay) -> bool:
    return relay.active


async def test_a_frozen_relay_is_followed_within_five_seconds_and_sends_nothing_when_it_wakes(
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
            frozen_at = time.monotonic()
            await append(inspector, box, times=10)
            await all_sent(inspector, within_s=10)
            assert time.monotonic() - frozen_at < 5
            os.kill(process.pid, signal.SIGCONT)
            await append(inspector, box, times=10)
            await all_sent(inspector)
            await asyncio.sleep(0.5)
            assert standby.relay.active
    received = await everything_in(url, stream)
    assert [message.sequence for message in received] == list(range(1, 31))


async def test_a_place_that_is_not_renewed_ends_for_its_holder_before_another_gets_it(
    database_url: str,
) -> None:
    async with (
        RelayLock.open(database_url, lease_s=0.5) as silent,
        RelayLock.open(database_url, lease_s=5) as other,
    ):
        first = await silent.try_take()
        assert first is not None
        assert silent.held
        second = await taken(other)
        assert not silent.held
        assert second.term == first.term + 1
        await silent.keep()
        assert not silent.held


async def test_a_place_that_is_renewed_stays(database_url: str) -> None:
    async with (
        RelayLock.open(database_url, lease_s=1) as kept,
        RelayLock.open(database_url, lease_s=5) as other,
    ):
        assert await kept.try_take()
        keeping = asyncio.create_task(kept.keep())
        await asyncio.sleep(1.5)
        assert kept.held
        assert await other.try_take() is None
        keeping.cancel()


async def test_a_relay_that_froze_while_it_marked_keeps_nobody_out(
    servers: EmbeddedServers,
    database_url: str,
    stream: StreamSettings,
) -> None:
    frozen = await asyncpg.connect(database_url)
    await frozen.execute("BEGIN")
    assert await hold_place(frozen, await frozen.fetchval("SELECT term FROM relay_state"))
    began = time.monotonic()
    async with running_relay(database_url, servers.nats.url(), stream) as next_one:
        await wait_until(lambda: is_active(next_one.relay))
        assert time.monotonic() - began < 5
    frozen.terminate()


async def test_a_relay_that_stops_leaves_its_place_at_once(
    servers: EmbeddedServers,
    database_url: str,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    async with running_relay(database_url, url, stream) as one:
        await wait_until(lambda: is_active(one.relay))
        async with running_relay(database_url, url, stream) as other:
            one.stop.set()
            stopped_at = time.monotonic()
            await wait_until(lambda: is_active(other.relay), every_s=0.01)
            assert time.monotonic() - stopped_at < 1


async def test_stopping_finishes_the_batch_in_hand(
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
            await asyncio.sleep(0.2)
            relay.stop.set()
    received = await everything_in(servers.nats.url(), stream)
    marked = await inspector.fetchval("SELECT count(*) FROM outbox WHERE stream_seq IS NOT NULL")
    assert len(received) == marked > 1
