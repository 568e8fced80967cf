"""Notifiers killed under load: each target has one final row."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from service.workers.channels import Delivery, Done, Outcome
from tests.support.notifier import QUICK, FakeChannel, NotifierHarness, settled, some_event
from tests.support.waiting import wait_until

# The deliveries of a killed worker are due again when their leases end, after some seconds.
PACE = msgspec.structs.replace(QUICK, lease_margin_s=1, ack_wait_s=3)


class Witness(FakeChannel):
    """Counts the effects of deliveries, including those of killed workers."""

    def __init__(self, effects: Counter[str], chance: random.Random) -> None:
        super().__init__("a", "b", timeout_s=3)
        self.effects = effects
        self.chance = chance
        self.act = self._take_effect

    async def _take_effect(self, delivery: Delivery) -> Outcome:
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        self.effects[str(delivery.key)] += 1
        await asyncio.sleep(self.chance.uniform(0, 0.01))
        return Done()


async def workers_killed(harness: NotifierHarness, kills: int, events: int) -> Counter[str]:
    """Kills workers one after the other while another one runs. Returns the effects."""
    chance = random.Random(kills)
    effects: Counter[str] = Counter()
    waiting = [some_event() for _ in range(events)]
    share = events // kills
    async with harness.running(Witness(effects, chance), PACE):
        for number in range(kills):
            async with harness.running(Witness(effects, chance), PACE) as running:
                enough = effects.total() + chance.randint(1, share)
                await harness.events.publish(*waiting[number * share : (number + 1) * share])
                await wait_until(lambda enough=enough: effects.total() >= enough)  # type: ignore[misc]
                await running.kill()
        await harness.events.publish(*waiting[kills * share :])
        rows = await settled(harness.inspector, 2 * events)
    assert {row["status"] for row in rows} == {"done"}
    assert Counter((row["event_id"], row["target"]) for row in rows) == Counter(
        (event.event_id, target) for event in waiting for target in "ab"
    )
    return effects


@pytest.mark.long
async def test_killed_workers_leave_one_finished_row_per_target(harness: NotifierHarness) -> None:
    effects = await workers_killed(harness, kills=8, events=120)
    assert len(effects) == 240
    # Only the deliveries that a killed worker had leased were repeated.
    assert effects.total() - 240 <= 8 * 8
    assert max(effects.values()) <= 3


@pytest.mark.long
async def test_workers_killed_fifty_times_leave_one_finished_row_per_target(
    harness: NotifierHarness,
) -> None:
    effects = await workers_killed(harness, kills=50, events=1500)
    assert len(effects) == 3000
    assert effects.total() - 3000 <= 50 * 8
