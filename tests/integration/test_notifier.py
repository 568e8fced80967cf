"""The runner of channels: fan-out once, delivery, retries, what is left when it ends."""

import asyncio
from collections import Counter
from uuid import uuid4

import msgspec

from service.domain.events import Event
from service.postgres.deliveries import Selection
from service.postgres.pool import Connection, Database
from service.usecases.deliveries import Deliveries
from service.workers.channels import Delivery, Done, Failed, Ignored, Later, Outcome, Target
from tests.support.notifier import (
    QUICK,
    FakeChannel,
    Stage,
    rows_of,
    settled,
    some_event,
)
from tests.support.relay import eventually, jetstream

SLOW_RETRIES = msgspec.structs.replace(QUICK, retries_s=(60,))


async def test_an_event_reaches_each_target_once(stage: Stage) -> None:
    channel = FakeChannel("a", "b")
    event = some_event()
    await stage.events.publish(event)
    async with stage.running(channel):
        rows = await settled(stage.inspector, 2)
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


async def test_an_event_that_concerns_nobody_leaves_one_ignored_row(stage: Stage) -> None:
    channel = FakeChannel()
    channel.whom = []
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["target"]) == ("ignored", "")
    assert channel.delivered == []


async def test_an_event_that_is_not_wanted_leaves_no_trace(stage: Stage) -> None:
    channel = FakeChannel()
    await stage.events.publish(some_event(data=b'{"unwanted": 1}'), some_event())
    async with stage.running(channel):
        await settled(stage.inspector, 1)
    assert await stage.inspector.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_a_replay_adds_nothing_not_even_targets_that_came_later(stage: Stage) -> None:
    channel = FakeChannel("a")
    await stage.events.publish(*(some_event() for _ in range(10)))
    async with stage.running(channel):
        await settled(stage.inspector, 10)
        channel.whom.append(Target(name="b"))
        await stage.events.replay()
        await stage.events.publish(some_event())
        rows = await settled(stage.inspector, 12)
        await stage.until_all_acked()
    assert Counter(row["target"] for row in rows) == {"a": 11, "b": 1}
    assert len(channel.delivered) == 12


async def test_a_failed_delivery_is_tried_again_with_the_same_key_until_it_is_dead(
    stage: Stage,
) -> None:
    channel = FakeChannel(outcome=Failed(error="no\0 luck"))
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"], row["last_error"]) == ("dead", 3, "no luck")
    assert [tried.attempt for tried in channel.delivered] == [1, 2, 3]
    assert len({tried.key for tried in channel.delivered}) == 1
    assert [type(outcome) for _, outcome in channel.settled] == [Failed] * 3


async def test_a_failure_that_is_permanent_is_dead_at_once(stage: Stage) -> None:
    channel = FakeChannel(outcome=Failed(error="never", permanent=True))
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"]) == ("dead", 1)


async def test_what_is_ignored_is_finished(stage: Stage) -> None:
    channel = FakeChannel(outcome=Ignored("it is gone"))
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["last_error"]) == ("ignored", "it is gone")


async def test_a_delivery_may_put_itself_off_without_that_being_a_failure(stage: Stage) -> None:
    channel = FakeChannel()
    channel.whom = [Target(name="a", state={"step": 0})]

    async def in_five_steps(delivery: Delivery) -> Outcome:
        step = delivery.state["step"] + 1
        return Done() if step == 5 else Later(delay_s=0.02, state={"step": step})

    channel.act = in_five_steps
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"], row["state"]) == ("done", 1, '{"step": 4}')
    assert len(channel.delivered) == 5


async def test_a_target_may_ask_for_a_delay_before_the_first_attempt(stage: Stage) -> None:
    channel = FakeChannel()
    channel.whom = [Target(name="later", delay_s=60), Target(name="now")]
    await stage.events.publish(some_event())
    async with stage.running(channel):
        await eventually(lambda: stage.count("done", 1))
        await asyncio.sleep(0.2)
    assert [done.target for done in channel.delivered] == ["now"]


async def test_a_fault_of_a_channel_is_a_failed_attempt(stage: Stage) -> None:
    channel = FakeChannel()
    tried = 0

    async def break_once(_delivery: Delivery) -> Outcome:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ZeroDivisionError("nobody foresaw this")
        if tried == 2:
            await asyncio.sleep(60)
        return Done()

    channel.act, channel.timeout_s = break_once, 0.5
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"], tried) == ("done", 3, 3)
    assert row["last_error"] == "not done within 0.5 s"


async def test_what_belongs_to_an_outcome_is_done_with_it_or_not_at_all(stage: Stage) -> None:
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
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"]) == ("done", 2)
    # One for the failure, one for the success; the one that broke is rolled back.
    assert await stage.inspector.fetchval("SELECT count(*) FROM revoked_tokens") == 2


async def test_a_channel_that_can_settle_nothing_still_gets_to_the_end_of_its_rows(
    stage: Stage,
) -> None:
    class Unsettled(FakeChannel):
        async def settle(
            self, _connection: Connection, _delivery: Delivery, _outcome: Outcome
        ) -> None:
            raise RuntimeError("always")

    channel = Unsettled()
    await stage.events.publish(some_event())
    async with stage.running(channel):
        [row] = await settled(stage.inspector, 1)
    assert (row["status"], row["attempt"]) == ("dead", 3)
    assert row["last_error"] == "it could not be settled: RuntimeError"


async def test_an_outcome_is_written_though_the_database_is_away_when_it_comes(
    stage: Stage,
) -> None:
    channel = FakeChannel(timeout_s=20)
    began = asyncio.Event()
    database_is_back = asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await database_is_back.wait()
        return Done()

    channel.act = deliver
    await stage.events.publish(some_event())
    async with stage.running(channel):
        await asyncio.wait_for(began.wait(), 20)
        await stage.servers.postgres.stop()
        database_is_back.set()
        await asyncio.sleep(0.3)
        await stage.servers.postgres.start()
        await stage.reconnect()
        [row] = await settled(stage.inspector, 1)
    assert row["status"] == "done"
    assert len(channel.delivered) == 1


async def test_a_slow_target_delays_no_other_and_gets_no_more_than_its_share(
    stage: Stage,
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
    channel.whom = [Target(name="slow")]
    async with stage.running(channel):
        await stage.events.publish(*(some_event(account_id) for _ in range(40)))
        await eventually(lambda: stage.count("pending", 40))
        channel.whom = [Target(name=f"quick {number}") for number in range(10)]
        await stage.events.publish(some_event(account_id))
        await eventually(lambda: stage.count("done", 10), within_s=3)
        release.set()
        await settled(stage.inspector, 50)
    assert most == 2


async def test_many_failing_targets_do_not_hold_up_one_that_is_well(stage: Stage) -> None:
    channel = FakeChannel(*(f"down {n}" for n in range(20)), concurrency=6, timeout_s=0.4)
    pace = msgspec.structs.replace(QUICK, retries_s=(0.0,) * 50)

    async def deliver(delivery: Delivery) -> Outcome:
        if delivery.target.startswith("down"):
            await asyncio.sleep(60)
        return Done()

    channel.act = deliver
    account_id = uuid4()
    async with stage.running(channel, pace):
        await stage.events.publish(some_event(account_id))
        await asyncio.sleep(1.5)
        channel.whom = [Target(name="well")]
        for _ in range(20):
            await stage.events.publish(some_event(account_id))
        await eventually(lambda: stage.count("done", 20), within_s=1.5)


async def test_a_clean_stop_finishes_what_is_in_hand(stage: Stage) -> None:
    channel = FakeChannel()
    began = asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await asyncio.sleep(0.3)
        return Done()

    channel.act = deliver
    await stage.events.publish(some_event())
    async with stage.running(channel) as running:
        await asyncio.wait_for(began.wait(), 20)
        await running.halt()
    [row] = await rows_of(stage.inspector)
    assert (row["status"], row["lease_until"]) == ("done", None)


async def test_what_is_not_finished_within_the_grace_is_given_back(stage: Stage) -> None:
    channel = FakeChannel(timeout_s=60)
    began = asyncio.Event()

    async def deliver(_delivery: Delivery) -> Outcome:
        began.set()
        await asyncio.sleep(60)
        return Done()

    channel.act = deliver
    await stage.events.publish(some_event())
    async with stage.running(channel, msgspec.structs.replace(QUICK, grace_s=0.1)) as running:
        await asyncio.wait_for(began.wait(), 20)
        await running.halt()
    [row] = await rows_of(stage.inspector)
    assert (row["status"], row["attempt"], row["lease_until"]) == ("pending", 0, None)
    async with stage.running(following := FakeChannel()):
        await settled(stage.inspector, 1, within_s=3)
    assert len(following.delivered) == 1


async def test_copies_share_the_work(stage: Stage) -> None:
    channels = [FakeChannel("a", "b") for _ in range(3)]

    async def deliver(_delivery: Delivery) -> Outcome:
        await asyncio.sleep(0.01)
        return Done()

    for channel in channels:
        channel.act = deliver
    async with stage.running(channels[0]), stage.running(channels[1]), stage.running(channels[2]):
        await stage.events.publish(*(some_event() for _ in range(100)))
        await settled(stage.inspector, 200)
    keys = Counter(done.key for channel in channels for done in channel.delivered)
    assert len(keys) == 200
    assert set(keys.values()) == {1}
    assert all(channel.delivered for channel in channels)


async def test_the_stream_may_be_made_again_and_nats_may_restart(stage: Stage) -> None:
    channel = FakeChannel()
    before, after = some_event(), some_event()
    await stage.events.publish(before)
    async with stage.running(channel):
        await settled(stage.inspector, 1)
        async with jetstream(stage.servers.nats.url()) as js:
            await js.delete_stream(stage.stream.name)
        await stage.events.declare()
        # As the relay does after the loss of a stream: everything again.
        await stage.events.publish(before, after)
        await settled(stage.inspector, 2)
        await stage.servers.nats.stop()
        await stage.servers.nats.start()
        await stage.events.connected()
        await stage.events.publish(some_event())
        await settled(stage.inspector, 3)
    assert len(channel.delivered) == 3


async def test_an_operator_sees_retries_and_drops(stage: Stage, database: Database) -> None:
    channel = FakeChannel("a", "b", outcome=Failed(error="no", permanent=True))
    event = some_event()
    await stage.events.publish(event, some_event())
    desk = Deliveries(database)
    async with stage.running(channel):
        await settled(stage.inspector, 4)
        dead = await desk.find(Selection(status=None), limit=100)
        assert [row.status for row in dead] == ["dead"] * 4
        assert await desk.find(Selection(account_id=uuid4()), limit=100) == []
        mine = Selection(account_id=event.account_id, event_id=event.event_id)
        shown = await desk.show(mine)
        assert [row.target for row in shown] == ["", "a", "b"]
        assert shown[1].event is not None
        assert shown[1].event["data"] == {}
        assert await desk.drop(msgspec.structs.replace(mine, target="a")) == 1
        channel.act = FakeChannel().act
        assert await desk.retry(Selection(channel="fake")) == 3
        rows = await settled(stage.inspector, 4)
    assert Counter(row["status"] for row in rows) == {"done": 3, "dropped": 1}
    assert [row.status for row in await desk.show(mine)] == ["fanned_out", "dropped", "done"]


async def test_an_event_whose_fan_out_was_given_up_is_dealt_out_when_retried(
    stage: Stage, database: Database
) -> None:
    class Lost(FakeChannel):
        async def targets(self, _connection: Connection, _event: Event) -> list[Target]:
            if not self.whom:
                raise LookupError
            return self.whom

    channel = Lost()
    channel.whom = []
    await stage.events.publish(event := some_event())
    # What comes for the fifth time is buried; waiting for that would take long.
    async with stage.running(channel, SLOW_RETRIES):
        await eventually(lambda: stage.naked(1))
        for_now = Selection(account_id=event.account_id, event_id=event.event_id)
        assert await Deliveries(database).show(for_now) == []
    await stage.inspector.execute(
        "INSERT INTO deliveries (account_id, event_id, channel, target, status, event)"
        " VALUES ($1, $2, 'fake', '', 'dead', $3)",
        event.account_id,
        event.event_id,
        msgspec.json.encode(
            {**msgspec.structs.asdict(event), "data": msgspec.Raw(event.data)}
        ).decode(),
    )
    channel.whom = [Target(name="a")]
    async with stage.running(channel):
        assert await Deliveries(database).retry(Selection()) == 1
        [row] = await settled(stage.inspector, 1)
    assert (row["target"], row["status"]) == ("a", "done")
