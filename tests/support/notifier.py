"""Channels that record deliveries, notifiers in the test process, and events for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import nats.js.errors
import pytest_asyncio

from service.bus import Bus, StreamSettings
from service.domain.events import Event
from service.embedded.servers import EmbeddedServers
from service.postgres.deliveries import register_channel
from service.postgres.pool import Connection, Database
from service.workers.channels import Channel, Delivery, Done, Outcome, Target
from service.workers.notifier import Notifier, NotifierTimings
from tests.support.database import TestDatabase
from tests.support.relay import jetstream
from tests.support.waiting import DEADLINE_S, wait_until
from tests.unit.test_events import an_event

_AGES_S = 10 * 365 * 86_400.0
QUICK = NotifierTimings(
    retries_s=(0.05, 0.05), poll_s=0.05, grace_s=5, lease_margin_s=2, fetch_s=0.1
)


class FakeChannel:
    """Delivers each event to fixed targets and records its deliveries."""

    def __init__(self, *targets: str, name: str = "fake", **options: Any) -> None:
        self.name = name
        self.events: tuple[str, ...] = options.get("events", ())
        self.timeout_s: float = options.get("timeout_s", 5.0)
        self.concurrency: int = options.get("concurrency", 8)
        self.per_target: int = options.get("per_target", 2)
        self.fixed_targets: list[Target] = [Target(name=target) for target in targets or ("a",)]
        self.delivered: list[Delivery] = []
        self.settled: list[tuple[str, Outcome]] = []
        self._outcome: Outcome = options.get("outcome", Done())
        self.act: Callable[[Delivery], Awaitable[Outcome]] = self._fixed_outcome

    def handles(self, event: Event) -> bool:
        return not event.data.startswith(b'{"unwanted"')

    async def targets(self, _connection: Connection, _event: Event) -> Sequence[Target]:
        return self.fixed_targets

    async def deliver(self, delivery: Delivery) -> Outcome:
        outcome = await self.act(delivery)
        self.delivered.append(delivery)
        return outcome

    async def _fixed_outcome(self, _delivery: Delivery) -> Outcome:
        return self._outcome

    async def settle(self, _connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        self.settled.append((delivery.target, outcome))


class RunningNotifier(msgspec.Struct, frozen=True, kw_only=True):
    """A notifier in this process. `kill` cancels it at any point, `halt` stops it cleanly."""

    task: asyncio.Task[None]
    stop: asyncio.Event

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def halt(self) -> None:
        self.stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await self.task


@asynccontextmanager
async def running_notifier(
    database_url: str,
    nats_url: str,
    stream: StreamSettings,
    channel: Channel,
    pace: NotifierTimings = QUICK,
    *,
    new: bool = False,
) -> AsyncIterator[RunningNotifier]:
    """Runs a notifier with its own connections; stops it cleanly unless it was killed.

    The channel handles events of any age, unless it is `new`.
    """
    stop = asyncio.Event()
    async with (
        Database.open(database_url, size=16, timeout_s=30, name="test notifier") as database,
        Bus.open(nats_url, name="test notifier", stream=stream) as bus,
    ):
        if not new:
            async with database.connection() as connection:
                await register_channel(connection, channel.name, _AGES_S)
        task = asyncio.create_task(Notifier(database, bus, channel, pace).run(stop))
        running = RunningNotifier(task=task, stop=stop)
        try:
            yield running
            if not task.done():
                await running.halt()
            elif not task.cancelled():
                await task
        finally:
            await running.kill()


class Publisher:
    """Publishes events to a stream without an outbox."""

    def __init__(self, bus: Bus, url: str, stream: StreamSettings) -> None:
        self._bus = bus
        self._url = url
        self._stream = stream

    async def connected(self) -> None:
        async def is_connected() -> bool:
            return bool(self._bus.connected)

        await wait_until(is_connected, every_s=0.01)

    async def declare(self) -> None:
        await self._bus.declare()

    async def publish(self, *events: Event) -> None:
        for event in events:
            await self._bus.publish(event)

    async def poison(self, subject: str, data: bytes = b"?", **headers: str) -> None:
        """Publishes a message that no relay would publish."""
        async with jetstream(self._url) as js:
            await js.publish(
                f"{self._stream.subject_prefix}.{subject}", data, headers=headers or None
            )

    async def replay(self, durable: str = "notifier-fake") -> None:
        """Deletes the consumer, so that every message is delivered again."""
        async with jetstream(self._url) as js:
            await js.delete_consumer(self._stream.name, durable)


@asynccontextmanager
async def publisher(url: str, stream: StreamSettings) -> AsyncIterator[Publisher]:
    async with Bus.open(url, name="test publisher", stream=stream) as bus:
        opened = Publisher(bus, url, stream)
        await opened.connected()
        await bus.declare()
        yield opened


class NotifierHarness:
    """Everything a notifier test needs: a stream, a database and a connection to inspect it."""

    def __init__(
        self,
        servers: EmbeddedServers,
        stream: StreamSettings,
        database: TestDatabase,
        events: Publisher,
        inspector: asyncpg.Connection,
    ) -> None:
        self.servers = servers
        self.stream = stream
        self.events = events
        self.inspector = inspector
        self._database = database

    def running(
        self, channel: Channel, pace: NotifierTimings = QUICK, *, new: bool = False
    ) -> AbstractAsyncContextManager[RunningNotifier]:
        return running_notifier(
            self._database.url, self.servers.nats.url(), self.stream, channel, pace, new=new
        )

    async def reconnect(self) -> None:
        """Opens a new connection after a restart of Postgres."""
        await self.inspector.close()
        self.inspector = await asyncpg.connect(self._database.owner_url)

    async def count(self, status: str, expected: int) -> bool:
        rows = await rows_of(self.inspector)
        return [row["status"] for row in rows].count(status) == expected

    async def has_unacked(self, count: int, durable: str = "notifier-fake") -> bool:
        """Returns whether all messages are delivered and `count` of them are not acked."""
        async with jetstream(self.servers.nats.url()) as js:
            try:
                info = await js.consumer_info(self.stream.name, durable)
            except nats.js.errors.NotFoundError:
                return False
        return bool(info.num_ack_pending == count and not info.num_pending)

    async def until_all_acked(self) -> None:
        await wait_until(lambda: self.has_unacked(0))


@pytest_asyncio.fixture(loop_scope="session")
async def harness(
    servers: EmbeddedServers, stream: StreamSettings, test_database: TestDatabase
) -> AsyncIterator[NotifierHarness]:
    async with publisher(servers.nats.url(), stream) as events:
        inspector = await asyncpg.connect(test_database.owner_url)
        opened = NotifierHarness(servers, stream, test_database, events, inspector)
        yield opened
        await opened.inspector.close()


def some_event(account_id: UUID | None = None, **changes: Any) -> Event:
    """Returns an event of an unknown type, so its data is not validated."""
    return an_event(
        account_id=account_id or uuid4(),
        vmbox_id=uuid4(),
        event_id=uuid4(),
        type=changes.pop("type", "thing.happened"),
        media_id=None,
        **changes,
    )


async def rows_of(inspector: asyncpg.Connection, channel: str = "fake") -> list[asyncpg.Record]:
    """Returns the rows of a channel without the markers that are fanned out."""
    rows: list[asyncpg.Record] = await inspector.fetch(
        "SELECT * FROM deliveries WHERE channel = $1 AND status <> 'fanned_out'"
        " ORDER BY created_at, event_id, target",
        channel,
    )
    return rows


async def settled(
    inspector: asyncpg.Connection, count: int, *, channel: str = "fake"
) -> list[asyncpg.Record]:
    """Waits until a channel has `count` deliveries and none is pending; returns the rows."""

    async def all_finished() -> bool:
        rows = await rows_of(inspector, channel)
        return len(rows) >= count and all(row["status"] != "pending" for row in rows)

    await wait_until(all_finished)
    rows = await rows_of(inspector, channel)
    assert len(rows) == count
    return rows
