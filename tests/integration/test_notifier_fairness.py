"""Fairness: slow or failing targets, stops and outages delay no other target."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import uuid4

import msgspec
import pytest

from service.workers.channels import Delivery, Done, Outcome, Target
from tests.support.notifier import (
    QUICK,
    FakeChannel,
    NotifierHarness,
    rows_of,
    settled,
    some_event,
)
from tests.support.relay import jetstream
from tests.support.waiting import wait_until


async def test_an_outcome_is_written_after_a_database_outage(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel(timeout_s=20)
    began = asyncio.Event()
    outcome_is_known = asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await outcome_is_known.wait()
        return Done()

    channel.act = deliver
    await harness.events.publish(some_event())
    async with harness.running(channel):
        await began.wait()
        await harness.servers.postgres.stop()
        outcome_is_known.set()
        await wait_until(lambda: bool(channel.delivered))
        await harness.servers.postgres.start()
        await harness.reconnect()
        [row] = await settled(harness.inspector, 1)
    assert row["status"] == "done"
    assert len(channel.delivered) == 1


async def test_a_slow_target_uses_at_most_its_share_and_delays_no_other(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel(concurrency=6, per_target=2, timeout_s=30)
    release = asyncio.Event()
    at_once = most = 0

    async def deliver(delivery: Delivery) -> Outcome:
        nonlocal at_once, most
        if delivery.target == "slow":
            at_once += 1
            most = max(most, at_once)
            await release.wait()
            at_once -= 1
        return Done()

    channel.act = deliver
    account_id = uuid4()
    channel.fixed_targets = [Target(name="slow")]
    async with harness.running(channel):
        await harness.events.publish(*(some_event(account_id) for _ in range(40)))
        await wait_until(lambda: harness.count("pending", 40))
        channel.fixed_targets = [Target(name=f"quick {number}") for number in range(10)]
        await harness.events.publish(some_event(account_id))
        await wait_until(lambda: harness.count("done", 10))
        release.set()
        await settled(harness.inspector, 50)
    assert most == 2


async def test_many_failing_targets_do_not_delay_a_working_one(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel(*(f"down {n}" for n in range(20)), concurrency=6, timeout_s=0.4)
    pace = msgspec.structs.replace(QUICK, retries_s=(0.0,) * 50)

    attempts = 0

    async def deliver(delivery: Delivery) -> Outcome:
        nonlocal attempts
        if delivery.target.startswith("down"):
            attempts += 1
            await asyncio.Event().wait()
        return Done()

    channel.act = deliver
    account_id = uuid4()
    async with harness.running(channel, pace):
        await harness.events.publish(some_event(account_id))
        await wait_until(lambda: attempts > 20)
        channel.fixed_targets = [Target(name="well")]
        for _ in range(20):
            await harness.events.publish(some_event(account_id))
        await wait_until(lambda: harness.count("done", 20))


async def test_a_clean_stop_finishes_the_deliveries_in_progress(harness: NotifierHarness) -> None:
    channel = FakeChannel(timeout_s=60)
    began, release = asyncio.Event(), asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await release.wait()
        return Done()

    channel.act = deliver
    await harness.events.publish(some_event())
    async with harness.running(channel) as running:
        await began.wait()
        halting = asyncio.create_task(running.halt())
        await wait_until(running.stop.is_set)
        release.set()
        await halting
    [row] = await rows_of(harness.inspector)
    assert (row["status"], row["lease_until"]) == ("done", None)


async def test_a_delivery_that_exceeds_the_grace_period_is_released(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel(timeout_s=60)
    began = asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await asyncio.Event().wait()
        return Done()

    channel.act = deliver
    await harness.events.publish(some_event())
    async with harness.running(channel, msgspec.structs.replace(QUICK, grace_s=0.1)) as running:
        await began.wait()
        await running.halt()
    [row] = await rows_of(harness.inspector)
    assert (row["status"], row["attempt"], row["lease_until"]) == ("pending", 0, None)
    async with harness.running(following := FakeChannel()):
        await settled(harness.inspector, 1)
    assert len(following.delivered) == 1


@pytest.mark.long
async def test_copies_share_the_work(harness: NotifierHarness) -> None:
    channels = [FakeChannel("a", "b", timeout_s=60) for _ in range(3)]
    began = [asyncio.Event() for _ in channels]

    def deliver_by(number: int) -> Callable[[Delivery], Awaitable[Outcome]]:
        async def deliver(_delivery: Delivery) -> Outcome:
            began[number].set()
            # No copy goes on before every copy has got some of the work.
            await asyncio.gather(*(event.wait() for event in began))
            return Done()

        return deliver

    for number, channel in enumerate(channels):
        channel.act = deliver_by(number)
    async with (
        harness.running(channels[0]),
        harness.running(channels[1]),
        harness.running(channels[2]),
    ):
        await harness.events.publish(*(some_event() for _ in range(100)))
        await settled(harness.inspector, 200)
    keys = Counter(done.key for channel in channels for done in channel.delivered)
    assert len(keys) == 200
    assert set(keys.values()) == {1}
    assert all(channel.delivered for channel in channels)


async def test_a_recreated_stream_and_a_restart_of_nats_lose_no_delivery(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    before, after = some_event(), some_event()
    await harness.events.publish(before)
    async with harness.running(channel):
        await settled(harness.inspector, 1)
        async with jetstream(harness.servers.nats.url()) as js:
            await js.delete_stream(harness.stream.name)
        await harness.events.declare()
        # As the relay does after the loss of a stream: everything again.
        await harness.events.publish(before, after)
        await settled(harness.inspector, 2)
        await harness.servers.nats.stop()
        await harness.servers.nats.start()
        await harness.events.connected()
        await harness.events.publish(some_event())
        await settled(harness.inspector, 3)
    assert len(channel.delivered) == 3
