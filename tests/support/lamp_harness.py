"""Lamp harness: lamp consumers in the test process, a relay, and the bucket of lamps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import nats.js.errors
import pytest_asyncio
from nats.js.api import ConsumerInfo

from service.bus import Bus, LampBucket, StreamSettings
from service.domain.lamp import Lamp, LampKey
from service.embedded.servers import EmbeddedServers
from service.postgres.lamps import read_lamp
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox, get_vmbox, lock_vmbox, update_vmbox
from service.workers.channels.mwi import (
    AriClient,
    AriSettings,
    AsteriskLamps,
    KvLamps,
    LampConsumer,
    LampSink,
    LampTimings,
    resync,
)
from tests.support.ari import PASSWORD, USER, AriStub
from tests.support.builders import Box
from tests.support.database import TestDatabase
from tests.support.relay import RunningRelay, jetstream, running_relay
from tests.support.waiting import DEADLINE_S, wait_until

QUICK = LampTimings(fetch_s=0.1, retry_s=0.05, max_retry_s=0.4, check_s=0.1, ack_wait_s=1)


class RunningLamps:
    """A lamp consumer. `kill` cancels it at any point, `halt` stops it cleanly."""

    def __init__(self, following: LampConsumer) -> None:
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(following.run(self._stop))

    async def kill(self) -> None:
        while not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=0.5)

    async def halt(self) -> None:
        self._stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await self.task


class LampHarness:
    """A stream, a bucket, and connections to inspect both."""

    def __init__(
        self,
        servers: EmbeddedServers,
        stream: StreamSettings,
        urls: TestDatabase,
        database: Database,
        bus: Bus,
    ) -> None:
        self.servers = servers
        self.stream = stream
        self.database = database
        self.bus = bus
        self.bucket = LampBucket(bus, f"T{uuid4().hex}")
        self._urls = urls

    def relay(self) -> AbstractAsyncContextManager[RunningRelay]:
        return running_relay(self._urls.url, self.servers.nats.url(), self.stream)

    def lamps(self) -> AbstractAsyncContextManager[RunningLamps]:
        return self.following("mwi", KvLamps(self.database, self.bucket))

    @asynccontextmanager
    async def switch(self, stub: AriStub, context: str = "") -> AsyncIterator[RunningLamps]:
        settings = AriSettings(url=stub.url, user=USER, password=PASSWORD, context=context)
        async with AriClient.open(settings) as ari:
            memory = LampBucket(self.bus, f"{self.bucket.name}_SWITCH")
            levels = AsteriskLamps(self.database, memory, ari)
            async with self.following("mwi-switch", levels) as running:
                yield running

    @asynccontextmanager
    async def following(self, name: str, levels: LampSink) -> AsyncIterator[RunningLamps]:
        following = LampConsumer(
            self.bus, name, levels, lambda levels: resync(levels, self.database), QUICK
        )
        running = RunningLamps(following)
        try:
            yield running
            if not running.task.done():
                await running.halt()
        finally:
            await running.kill()

    async def stored_lamp(self, box: Box) -> Lamp | None:
        return (await self.bucket.read(LampKey(box.account_id, box.vmbox_id))).lamp

    async def is_correct(self, *boxes: Box) -> bool:
        """Returns whether each lamp equals the counts of its box."""
        for box in boxes:
            async with self.database.connection() as connection:
                expected = await read_lamp(connection, LampKey(box.account_id, box.vmbox_id))
            if await self.stored_lamp(box) != expected:
                return False
        return True

    async def until_correct(self, *boxes: Box) -> None:
        await wait_until(lambda: self.is_correct(*boxes))

    async def consumer(self, durable: str) -> ConsumerInfo | None:
        async with jetstream(self.servers.nats.url()) as js:
            try:
                info: ConsumerInfo = await js.consumer_info(self.stream.name, durable)
            except nats.js.errors.NotFoundError:
                return None
        return info

    async def all_acked(self, durable: str = "notifier-mwi") -> bool:
        info = await self.consumer(durable)
        return info is not None and not info.num_ack_pending and not info.num_pending

    async def until_all_acked(self, durable: str = "notifier-mwi") -> None:
        await wait_until(lambda: self.all_acked(durable))

    async def replay(self, durable: str = "notifier-mwi") -> None:
        async with jetstream(self.servers.nats.url()) as js:
            await js.delete_consumer(self.stream.name, durable)

    async def lose_bucket(self) -> None:
        async with jetstream(self.servers.nats.url()) as js:
            await js.delete_key_value(self.bucket.name)

    async def revisions(self) -> int:
        """Returns the number of writes of the bucket so far."""
        async with jetstream(self.servers.nats.url()) as js:
            try:
                return int((await js.stream_info(f"KV_{self.bucket.name}")).state.last_seq)
            except nats.js.errors.NotFoundError:
                return 0


async def renumber(connection: Connection, box: Box, mailbox: str) -> None:
    stored = await get_vmbox(connection, box.account_id, box.vmbox_id)
    document = {**stored.vmbox.document, "mailbox": mailbox}
    assert await update_vmbox(connection, stored.vmbox, document, stored.pin_sealed, ())


async def delete(database: Database, box: Box) -> None:
    async with database.transaction() as connection:
        await lock_vmbox(connection, box.account_id, box.vmbox_id)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)


@pytest_asyncio.fixture(loop_scope="session")
async def lamp_harness(
    servers: EmbeddedServers,
    stream: StreamSettings,
    test_database: TestDatabase,
    database: Database,
) -> AsyncIterator[LampHarness]:
    url = servers.nats.url()
    async with Bus.open(url, name="test lamps", stream=stream) as bus:
        harness = LampHarness(servers, stream, test_database, database, bus)
        yield harness
    async with jetstream(url) as js:
        for name in (harness.bucket.name, f"{harness.bucket.name}_SWITCH"):
            try:
                await js.delete_key_value(name)
            except nats.js.errors.NotFoundError:
                continue
