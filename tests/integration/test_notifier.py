"""Runner of channels: fan-out, delivery, retries, final rows."""

import asyncio
from collections import Counter
from uuid import uuid4

import msgspec

from service.domain.events import Event
from service.postgres.deliveries import DeliveryFilter
from service.postgres.pool import Connection, Database
from service.usecases.deliveries import Deliveries
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Postponed, Target
from tests.support.notifier import (
    QUICK,
    FakeChannel,
    NotifierHarness,
    settled,
    some_event,
)
from tests.support.waiting import wait_until

SLOW_RETRIES = msgspec.structs.replace(QUICK, retries_s=(60,))


async def test_an_event_reaches_each_target_once(harness: NotifierHarness) -> None:
    channel = FakeChannel("a", "b")
    event = some_event()
    await harness.events.publish(event)
    async with harness.running(channel):
        rows = await settled(harness.inspector, 2)
    assert [(row["target"], row["status"], row["attempt"]) for row in rows] == [
        ("a", "done", 1),
        ("b", "done", 1),
    ]
    assert sorted(done.target for done in channel.delivered) == ["a", "b"]
    assert {msgspec.json.encode(done.event) for done in channel.delivered} == {
        msgspec.json.encode(event)
    }
    assert len({done.key for done in channel.delivered}) == 2
    assert sorted(target for target, _ in channel.settled) == ["a", "b"]


async def test_an_event_without_targets_leaves_one_ignored_row(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    channel.fixed_targets = []
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["target"]) == ("ignored", "")
    assert channel.delivered == []


async def test_an_event_that_the_channel_does_not_handle_leaves_no_row(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    await harness.events.publish(some_event(data=b'{"unwanted": 1}'), some_event())
    async with harness.running(channel):
        await settled(harness.inspector, 1)
    assert await harness.inspector.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_a_repeated_event_adds_no_rows_not_even_for_later_targets(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel("a")
    await harness.events.publish(*(some_event() for _ in range(10)))
    async with harness.running(channel):
        await settled(harness.inspector, 10)
        channel.fixed_targets.append(Target(name="b"))
        await harness.events.replay()
        await harness.events.publish(some_event())
        rows = await settled(harness.inspector, 12)
        await harness.until_all_acked()
    assert Counter(row["target"] for row in rows) == {"a": 11, "b": 1}
    assert len(channel.delivered) == 12


async def test_a_failed_delivery_is_retried_with_the_same_key_until_it_is_dead(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel(outcome=Failed(error="no\0 luck"))
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"], row["last_error"]) == ("dead", 3, "no luck")
    assert [tried.attempt for tried in channel.delivered] == [1, 2, 3]
    assert len({tried.key for tried in channel.delivered}) == 1
    assert [type(outcome) for _, outcome in channel.settled] == [Failed] * 3


async def test_a_permanent_failure_is_dead_at_once(harness: NotifierHarness) -> None:
    channel = FakeChannel(outcome=Failed(error="never", permanent=True))
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"]) == ("dead", 1)


async def test_an_ignored_delivery_is_finished(harness: NotifierHarness) -> None:
    channel = FakeChannel(outcome=Ignored("it is gone"))
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["last_error"]) == ("ignored", "it is gone")


async def test_a_delivery_may_be_postponed_without_a_failure(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    channel.fixed_targets = [Target(name="a", state={"step": 0})]

    async def in_five_steps(delivery: Delivery) -> Outcome:
        step = delivery.state["step"] + 1
        return Done() if step == 5 else Postponed(delay_s=0.02, state={"step": step})

    channel.act = in_five_steps
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"], row["state"]) == ("done", 1, '{"step": 4}')
    assert len(channel.delivered) == 5


async def test_a_target_may_delay_its_first_attempt(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    channel.fixed_targets = [Target(name="later", delay_s=60), Target(name="now")]
    await harness.events.publish(some_event())
    async with harness.running(channel):
        await wait_until(lambda: harness.count("done", 1))
        channel.fixed_targets = [Target(name="now")]
        await harness.events.publish(some_event())
        await wait_until(lambda: harness.count("done", 2))
    assert [done.target for done in channel.delivered] == ["now", "now"]


async def test_an_exception_of_a_channel_is_a_failed_attempt(harness: NotifierHarness) -> None:
    channel = FakeChannel()
    tried = 0

    async def break_once(_delivery: Delivery) -> Outcome:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ZeroDivisionError("nobody foresaw this")
        if tried == 2:
            await asyncio.Event().wait()
        return Done()

    channel.act, channel.timeout_s = break_once, 0.5
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"], tried) == ("done", 3, 3)
    assert row["last_error"] == "not delivered within 0.5 s"


async def test_an_outcome_and_its_effects_are_written_together(
    harness: NotifierHarness,
) -> None:
    class Settling(FakeChannel):
        broken = True

        async def settle(
            self, connection: Connection, _delivery: Delivery, outcome: Outcome
        ) -> None:
            await connection.execute(
                "INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, now())", uuid4()
            )
            if isinstance(outcome, Done) and Settling.broken:
                Settling.broken = False
                raise RuntimeError("in the middle")

    channel = Settling()
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"]) == ("done", 2)
    # One for the failure, one for the success; the one that broke is rolled back.
    assert await harness.inspector.fetchval("SELECT count(*) FROM revoked_tokens") == 2


async def test_deliveries_of_a_channel_that_cannot_settle_become_dead(
    harness: NotifierHarness,
) -> None:
    class Unsettled(FakeChannel):
        async def settle(
            self, _connection: Connection, _delivery: Delivery, _outcome: Outcome
        ) -> None:
            raise RuntimeError("always")

    channel = Unsettled()
    await harness.events.publish(some_event())
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["attempt"]) == ("dead", 3)
    assert row["last_error"] == "settling failed: RuntimeError"


async def test_an_operator_can_list_retry_and_drop_deliveries(
    harness: NotifierHarness, database: Database
) -> None:
    channel = FakeChannel("a", "b", outcome=Failed(error="no", permanent=True))
    event = some_event()
    await harness.events.publish(event, some_event())
    desk = Deliveries(database)
    async with harness.running(channel):
        await settled(harness.inspector, 4)
        dead = await desk.find(DeliveryFilter(status=None), limit=100)
        assert [row.status for row in dead] == ["dead"] * 4
        assert await desk.find(DeliveryFilter(account_id=uuid4()), limit=100) == []
        mine = DeliveryFilter(account_id=event.account_id, event_id=event.event_id)
        output = await desk.show(mine)
        assert [row.target for row in output] == ["", "a", "b"]
        assert output[1].event is not None
        assert output[1].event["data"] == {}
        assert await desk.drop(msgspec.structs.replace(mine, target="a")) == 1
        channel.act = FakeChannel().act
        assert await desk.retry(DeliveryFilter(channel="fake")) == 3
        rows = await settled(harness.inspector, 4)
    assert Counter(row["status"] for row in rows) == {"done": 3, "dropped": 1}
    assert [row.status for row in await desk.show(mine)] == ["fanned_out", "dropped", "done"]


async def test_an_event_whose_fan_out_failed_is_fanned_out_when_retried(
    harness: NotifierHarness, database: Database
) -> None:
    class Lost(FakeChannel):
        async def targets(self, _connection: Connection, _event: Event) -> list[Target]:
            if not self.fixed_targets:
                raise LookupError
            return self.fixed_targets

    channel = Lost()
    channel.fixed_targets = []
    await harness.events.publish(event := some_event())
    # What comes for the fifth time is buried; waiting for that would take long.
    async with harness.running(channel, SLOW_RETRIES):
        await wait_until(lambda: harness.has_unacked(1))
        for_now = DeliveryFilter(account_id=event.account_id, event_id=event.event_id)
        assert await Deliveries(database).show(for_now) == []
    await harness.inspector.execute(
        "INSERT INTO deliveries (account_id, event_id, channel, target, status, event)"
        " VALUES ($1, $2, 'fake', '', 'dead', $3)",
        event.account_id,
        event.event_id,
        msgspec.json.encode(
            {**msgspec.structs.asdict(event), "data": msgspec.Raw(event.data)}
        ).decode(),
    )
    channel.fixed_targets = [Target(name="a")]
    async with harness.running(channel):
        assert await Deliveries(database).retry(DeliveryFilter()) == 1
        [row] = await settled(harness.inspector, 1)
    assert (row["target"], row["status"]) == ("a", "done")
