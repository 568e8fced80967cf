"""Start time of a new channel, and delivery of everything after it."""

from datetime import UTC, datetime, timedelta

from service.domain.events import Event
from tests.support.notifier import FakeChannel, NotifierHarness, settled, some_event
from tests.support.relay import jetstream
from tests.support.waiting import wait_until


def an_event_of(hours_ago: float) -> Event:
    return some_event(created_at=datetime.now(UTC) - timedelta(hours=hours_ago))


async def has_begun(harness: NotifierHarness) -> bool:
    return bool(await harness.inspector.fetchval("SELECT count(*) FROM channels"))


async def test_a_new_channel_skips_old_events(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    old, recent = [an_event_of(hours) for hours in (150, 24, 2)], an_event_of(0.2)
    await harness.events.publish(*old, recent)
    async with harness.running(channel, new=True):
        await settled(harness.inspector, 1)
        await harness.until_all_acked()
    assert [done.event_id for done in channel.delivered] == [recent.event_id]
    assert await harness.inspector.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_events_after_the_first_start_of_a_channel_are_delivered(
    harness: NotifierHarness,
) -> None:
    async with harness.running(FakeChannel(), new=True) as running:
        await wait_until(lambda: has_begun(harness))
        await running.kill()
    old, missed, late = an_event_of(24), an_event_of(0), an_event_of(0)
    await harness.events.publish(missed)
    async with jetstream(harness.servers.nats.url()) as js:
        await js.delete_stream(harness.stream.name)
    await harness.events.declare()
    # As the relay does after the loss of a stream: all that is kept again.
    await harness.events.publish(old, missed, late)
    channel = FakeChannel()
    async with harness.running(channel, new=True):
        await settled(harness.inspector, 2)
        await harness.until_all_acked()
    assert {done.event_id for done in channel.delivered} == {missed.event_id, late.event_id}
