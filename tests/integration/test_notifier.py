"""The runner of channels: fan-out once, delivery, retries, what is left when it ends."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from service.bus import StreamSettings
from service.embedded.servers import EmbeddedServers
from service.workers.channels import Delivery, Done, Failed, Outcome
from tests.support.notifier import (
    FakeChannel,
    Publisher,
    publisher,
    running_notifier,
    settled,
    some_event,
)


@pytest_asyncio.fixture(loop_scope="session")
async def events(servers: EmbeddedServers, stream: StreamSettings) -> AsyncIterator[Publisher]:
    async with publisher(servers.nats.url(), stream) as opened:
        yield opened


async def test_an_event_reaches_each_target_once(
    servers: EmbeddedServers,
    stream: StreamSettings,
    database_url: str,
    inspector: asyncpg.Connection,
    events: Publisher,
) -> None:
    channel = FakeChannel("a", "b")
    event = some_event()
    await events.publish(event)
    async with running_notifier(database_url, servers.nats.url(), stream, channel):
        rows = await settled(inspector, 2)
    assert [(row["target"], row["status"], row["attempt"]) for row in rows] == [
        ("a", "done", 1),
        ("b", "done", 1),
    ]
    assert sorted(done.target for done in channel.delivered) == ["a", "b"]
    assert {done.event for done in channel.delivered} == {event}
    assert len({done.key for done in channel.delivered}) == 2
    assert sorted(channel.settled) == [("a", Done()), ("b", Done())]


async def test_a_failed_delivery_is_tried_again_with_the_same_key_until_it_is_dead(
    servers: EmbeddedServers,
    stream: StreamSettings,
    database_url: str,
    inspector: asyncpg.Connection,
    events: Publisher,
) -> None:
    channel = FakeChannel()

    async def fail(_delivery: Delivery) -> Outcome:
        return Failed(error="no luck")

    channel.act = fail
    await events.publish(some_event())
    async with running_notifier(database_url, servers.nats.url(), stream, channel):
        [row] = await settled(inspector, 1)
    assert (row["status"], row["attempt"], row["last_error"]) == ("dead", 3, "no luck")
    assert [tried.attempt for tried in channel.delivered] == [1, 2, 3]
    assert len({tried.key for tried in channel.delivered}) == 1


async def test_a_failure_that_is_permanent_is_dead_at_once(
    servers: EmbeddedServers,
    stream: StreamSettings,
    database_url: str,
    inspector: asyncpg.Connection,
    events: Publisher,
) -> None:
    channel = FakeChannel()

    async def refuse(_delivery: Delivery) -> Outcome:
        return Failed(error="never", permanent=True)

    channel.act = refuse
    await events.publish(some_event())
    async with running_notifier(database_url, servers.nats.url(), stream, channel):
        [row] = await settled(inspector, 1)
    assert (row["status"], row["attempt"]) == ("dead", 1)
