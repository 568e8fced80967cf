"""Workers that are killed under load: each target has one finished row, and none is forgotten."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from service.workers.channels import Delivery, Done, Outcome
from tests.support.notifier import QUICK, FakeChannel, NotifierHarness, settled, some_event

# What was in the hands of a worker that was killed comes again soon.
PACE = msgspec.structs.replace(QUICK, lease_margin_s=0.3, ack_wait_s=1.0)


class Witness(FakeChannel):
    """Notes when the effect of a delivery has come about, whoever is killed after it."""

    def __init__(self, effects: Counter[str], chance: random.Random) -> None:
        super().__init__("a", "b", timeout_s=0.7)
        self.effects = effects
        self.chance = chance
        self.act = self._take_effect

    async def _take_effect(self, delivery: Delivery) -> Outcome:
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        self.effects[str(delivery.key)] += 1
        await asyncio.sleep(self.chance.uniform(0, 0.01))
        return Done()


async def workers_killed(harness: NotifierHarness, kills: int, events: int) -> Counter[str]:
    """Publishes while one worker after the other is killed beside one that lives; the effects."""
    chance = random.Random(kills)
    effects: Counter[str] = Counter()
    waiting = [some_event() for _ in range(events)]

    async def publish() -> None:
        for event in waiting:
            await harness.events.publish(event)
            await asyncio.sleep(kills * 0.1 / events)

    publishing = asyncio.create_task(publish())
    async with harness.running(Witness(effects, chance), PACE):
        for _ in range(kills):
            async with harness.running(Witness(effects, chance), PACE) as running:
                await asyncio.sleep(chance.uniform(0.05, 0.2))
                await running.kill()
        await publishing
        rows = await settled(harness.inspector, 2 * events, within_s=60)
    assert {row["status"] for row in rows} == {"done"}
    assert Counter((row["event_id"], row["target"]) for row in rows) == Counter(
        (event.event_id, target) for event in waiting for target in "ab"
    )
    return effects


async def test_killed_workers_leave_one_finished_row_per_target(harness: NotifierHarness) -> None:
    effects = await workers_killed(harness, kills=8, events=120)
    assert len(effects) == 240
    # What was in hand of a worker that was killed came again, and nothing else did.
    assert effects.total() - 240 <= 8 * 8
    assert max(effects.values()) <= 3


@pytest.mark.long
async def test_workers_killed_fifty_times_leave_one_finished_row_per_target(
    harness: NotifierHarness,
) -> None:
    effects = await workers_killed(harness, kills=50, events=1500)
    assert len(effects) == 3000
    assert effects.total() - 3000 <= 50 * 8
