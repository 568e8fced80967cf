"""Where a channel begins that is started for the first time, and that it forgets nothing since."""

from datetime import UTC, datetime, timedelta

from service.domain.events import Event
from tests.support.notifier import FakeChannel, Stage, settled, some_event
from tests.support.relay import eventually, jetstream


def an_event_of(hours_ago: float) -> Event:
    return some_event(created_at=datetime.now(UTC) - timedelta(hours=hours_ago))


async def has_begun(stage: Stage) -> bool:
    return bool(await stage.inspector.fetchval("SELECT count(*) FROM channels"))


async def test_a_new_channel_does_not_tell_what_happened_long_before(stage: Stage) -> None:
    channel = FakeChannel()
    old, recent = [an_event_of(hours) for hours in (150, 24, 2)], an_event_of(0.2)
    await stage.events.publish(*old, recent)
    async with stage.running(channel, new=True):
        await settled(stage.inspector, 1)
        await stage.until_all_acked()
    assert [done.event_id for done in channel.delivered] == [recent.event_id]
    assert await stage.inspector.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_what_happens_after_its_first_start_is_told_whatever_is_lost_then(
    stage: Stage,
) -> None:
    async with stage.running(FakeChannel(), new=True) as running:
        await eventually(lambda: has_begun(stage))
        await running.kill()
    old, missed, late = an_event_of(24), an_event_of(0), an_event_of(0)
    await stage.events.publish(missed)
    async with jetstream(stage.servers.nats.url()) as js:
        await js.delete_stream(stage.stream.name)
    await stage.events.declare()
    # As the relay does after the loss of a stream: all that is kept again.
    await stage.events.publish(old, missed, late)
    channel = FakeChannel()
    async with stage.running(channel, new=True):
        await settled(stage.inspector, 2)
        await stage.until_all_acked()
    assert {done.event_id for done in channel.delivered} == {missed.event_id, late.event_id}
