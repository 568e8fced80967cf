"""Durable consumer: delivery, and recovery from losses on the server."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import pytest_asyncio
import structlog

from service.bus import Bus, Consumer, ConsumerSettings, StreamMessage, StreamSettings
from service.domain.errors import BusUnavailable
from service.embedded.servers import EmbeddedServers
from tests.support.notifier import Publisher, publisher, some_event
from tests.support.relay import jetstream
from tests.support.waiting import wait_until


@pytest_asyncio.fixture(loop_scope="session")
async def events(servers: EmbeddedServers, stream: StreamSettings) -> AsyncIterator[Publisher]:
    async with publisher(servers.nats.url(), stream) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def bus(
    servers: EmbeddedServers,
    stream: StreamSettings,
    events: Publisher,  # noqa: ARG001 - the stream is there
) -> AsyncIterator[Bus]:
    async with Bus.open(servers.nats.url(), name="test consumer", stream=stream) as opened:
        yield opened


def a_consumer(bus: Bus, *types: str, ack_wait_s: float = 30) -> Consumer:
    return bus.consumer(
        ConsumerSettings(durable="notifier-fake", events=types, ack_wait_s=ack_wait_s)
    )


async def got(consumer: Consumer) -> list[StreamMessage]:
    """Returns the next messages; fetches again after an outage."""
    messages: list[StreamMessage] = []

    async def has_messages() -> bool:
        with suppress(BusUnavailable):
            messages.extend(await consumer.fetch(10, 0.1))
        return bool(messages)

    await wait_until(has_messages)
    return messages


async def test_an_unacknowledged_message_is_redelivered(bus: Bus, events: Publisher) -> None:
    await events.publish(some_event(), some_event())
    consumer = a_consumer(bus, ack_wait_s=1)
    first, second = await got(consumer)
    await first.ack()
    [again] = await got(consumer)
    assert (again.stream_seq, again.deliveries) == (second.stream_seq, 2)
    await again.nak(0.01)
    [late] = await got(consumer)
    assert (late.stream_seq, late.deliveries) == (second.stream_seq, 3)
    await late.nak(600)
    await events.publish(some_event())
    [third] = await got(consumer)
    assert third.stream_seq > second.stream_seq
    await third.ack()
    assert await consumer.fetch(10, 1.2) == []
    await consumer.close()


async def test_an_empty_stream_is_not_an_outage(bus: Bus, events: Publisher) -> None:
    await events.publish(some_event())
    consumer = a_consumer(bus)
    [message] = await got(consumer)
    await message.ack()
    for wait_s in (0.0002, 0.0005, 0.001, 0.002, 0.005):
        assert [await consumer.fetch(10, wait_s) for _ in range(5)] == [[]] * 5
    await consumer.close()


async def test_a_consumer_gets_only_its_event_types(bus: Bus, events: Publisher) -> None:
    await events.publish(some_event(), some_event(type="message.new"))
    narrow = a_consumer(bus, "message.new")
    [second] = await got(narrow)
    assert second.stream_seq == 2
    await second.ack()
    await narrow.close()
    # Another release may read more, from then on: the same durable consumer is changed.
    wide = a_consumer(bus, "message.new", "vmbox.full")
    assert await wide.fetch(10, 0.1) == []
    await events.publish(some_event(type="vmbox.full"))
    assert [message.stream_seq for message in await got(wide)] == [3]
    await wide.close()


async def test_a_consumer_skips_messages_from_before_its_start_time(
    bus: Bus, events: Publisher, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    await events.publish(some_event())
    async with jetstream(servers.nats.url()) as js:
        first = await js.get_msg(stream.name, 1)
    assert first.time is not None
    since = first.time + timedelta(microseconds=1)
    await events.publish(some_event())
    for _ in range(2):
        consumer = a_consumer(bus, ack_wait_s=0.2)
        consumer.start_at(since)
        assert [message.stream_seq for message in await got(consumer)] == [2]
        await consumer.close()
    # One that is there goes on where it is, wherever it began.
    consumer = a_consumer(bus, ack_wait_s=0.2)
    consumer.start_at(since - timedelta(days=1))
    assert [message.stream_seq for message in await got(consumer)] == [2]
    await consumer.close()


async def test_a_consumer_that_stops_delivering_is_polled_again(
    bus: Bus, events: Publisher, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    consumer = a_consumer(bus)
    await events.publish(some_event())
    [first] = await got(consumer)
    await first.ack()
    until = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    async with jetstream(servers.nats.url()) as js:
        await js._nc.request(
            f"$JS.API.CONSUMER.PAUSE.{stream.name}.notifier-fake",
            msgspec.json.encode({"pause_until": until}),
        )
    await events.publish(some_event())
    with structlog.testing.capture_logs() as logs:
        [message] = await got(consumer)
    assert "consumer stalled" in [log["event"] for log in logs]
    await message.ack()
    await consumer.close()


async def test_without_a_stream_a_fetch_fails_until_the_stream_exists(
    bus: Bus, events: Publisher, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    async with jetstream(servers.nats.url()) as js:
        await js.delete_stream(stream.name)
    consumer = a_consumer(bus)
    with pytest.raises(BusUnavailable):
        await consumer.fetch(10, 0.1)
    await events.declare()
    await events.publish(some_event())
    assert len(await got(consumer)) == 1
    await consumer.close()
