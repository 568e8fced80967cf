"""Relay harness: boxes with events, relays in the test process, and the content of the stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import msgspec
import nats
import nats.errors
import nats.js.errors
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from service.bus import Bus, StreamSettings
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Connection, Database
from service.postgres.relay_shards import ShardLocks
from service.workers.relay import Relay, RelaySettings
from tests.support.waiting import DEADLINE_S, wait_until

_APPEND = """
WITH box AS MATERIALIZED (
    SELECT mailbox, sequence FROM vmbox_counts WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), counts AS (
    UPDATE vmbox_counts AS c SET sequence = box.sequence + 1, new_count = c.new_count + 1
    FROM box WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count
)
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data)
SELECT $1, $2, sequence, 1, 'vmbox.updated',
    event_of_box($1, $2, mailbox, 1, sequence, new_count, saved_count)
        || jsonb_build_object('vmbox', jsonb_build_object('name', repeat('x', $3)))
FROM counts
"""

_FILL = """
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data)
SELECT $1, $2, n, 1, 'vmbox.updated',
    jsonb_build_object('vmbox_id', hex($2), 'sequence', n, 'padding', repeat('x', $4))
FROM generate_series($5::integer, $3::integer) AS n
"""


class Box(msgspec.Struct, frozen=True):
    """Box that exists only as outbox rows."""

    account_id: UUID
    vmbox_id: UUID


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Message of the stream."""

    subject: str
    headers: dict[str, str]
    data: dict[str, Any]
    stream_seq: int

    @property
    def id(self) -> str:
        return self.headers["Nats-Msg-Id"]

    @property
    def vmbox_id(self) -> str:
        return str(self.data["vmbox_id"])

    @property
    def sequence(self) -> int:
        return int(self.data["sequence"])


async def a_box(connection: Connection, account_id: UUID | None = None) -> Box:
    box = Box(account_id or uuid4(), uuid4())
    await connection.execute(
        "INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox) VALUES ($1, $2, '100')",
        box.account_id,
        box.vmbox_id,
    )
    return box


async def append(connection: Connection, box: Box, times: int = 1, size: int = 0) -> None:
    """Appends events to a box under the lock of its counts row, like the service."""
    for _ in range(times):
        await connection.execute(_APPEND, box.account_id, box.vmbox_id, size)


async def fill(
    connection: Connection, box: Box, last: int, size: int = 200, *, first: int = 1
) -> None:
    """Appends many events in one statement, without the counts row."""
    await connection.execute(_FILL, box.account_id, box.vmbox_id, last, size, first)


def a_stream(**settings: Any) -> StreamSettings:
    """Stream of one test."""
    name = uuid4().hex
    return StreamSettings(name=f"T{name}", subject_prefix=f"t{name}.v1", **settings)


@asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(url.split(","))
    try:
        yield client.jetstream()
    finally:
        await client.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stream(servers: EmbeddedServers) -> AsyncIterator[StreamSettings]:
    settings = a_stream()
    yield settings
    async with jetstream(servers.nats.url()) as js:
        with suppress(nats.js.errors.NotFoundError):
            await js.delete_stream(settings.name)


async def everything_in(url: str, stream: StreamSettings) -> list[Received]:
    """Returns all messages under the prefix of the stream, oldest first."""
    subjects = f"{stream.subject_prefix}.>"
    async with jetstream(url) as js:
        try:
            info = await js.stream_info(stream.name, subjects_filter=subjects)
        except nats.js.errors.NotFoundError:
            return []
        count = sum((info.state.subjects or {}).values())
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        subscription = await js.pull_subscribe(subjects, stream=stream.name, config=config)
        received: list[Received] = []
        while len(received) < count:
            messages = await subscription.fetch(min(500, count - len(received)), timeout=5)
            received += [
                Received(
                    subject=message.subject,
                    headers=dict(message.headers or {}),
                    data=msgspec.json.decode(message.data),
                    stream_seq=message.metadata.sequence.stream,
                )
                for message in messages
            ]
        return received


def sequences(received: list[Received]) -> dict[str, list[int]]:
    """Returns the sequences that arrived, by box."""
    by_box: dict[str, list[int]] = {}
    for message in received:
        by_box.setdefault(message.vmbox_id, []).append(message.sequence)
    return by_box


async def published_numbers(connection: Connection) -> list[int]:
    """Returns the published_seq of all rows, in order."""
    rows = await connection.fetch("SELECT published_seq FROM outbox ORDER BY published_seq")
    return [row["published_seq"] for row in rows]


async def acquired(locks: ShardLocks, buckets: Sequence[int]) -> dict[int, int]:
    """Tries to acquire buckets until they are free. Returns their terms."""

    async def is_acquired() -> bool:
        await locks.survey()
        return await locks.acquire(buckets)

    await wait_until(is_acquired)
    return {bucket: locks.terms[bucket] for bucket in buckets}


async def all_sent(connection: Connection) -> None:
    """Waits until every event of the outbox has been published."""

    async def none_waits() -> bool:
        waiting = await connection.fetchval("SELECT count(*) FROM outbox WHERE stream_seq IS NULL")
        return bool(waiting == 0)

    await wait_until(none_waits)


class RunningRelay(msgspec.Struct, frozen=True, kw_only=True):
    """Relay in this process. `kill` cancels it at any point."""

    relay: Relay
    bus: Bus
    task: asyncio.Task[None]
    stop: asyncio.Event

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def running_relay(
    database_url: str, nats_url: str, stream: StreamSettings, **options: Any
) -> AsyncIterator[RunningRelay]:
    """Runs a relay with its own connections and stops it cleanly at the end."""
    stop = asyncio.Event()
    async with (
        Database.open(database_url, size=2, timeout_s=30, name="test relay") as database,
        Bus.open(nats_url, name="test relay", stream=stream) as bus,
    ):
        settings = RelaySettings(**options)
        relay = Relay(database, bus, database_url=database_url, settings=settings)
        task = asyncio.create_task(relay.run(stop))
        try:
            yield RunningRelay(relay=relay, bus=bus, task=task, stop=stop)
            stop.set()
            if not task.cancelled():
                async with asyncio.timeout(DEADLINE_S):
                    await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
