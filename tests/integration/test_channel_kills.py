"""Notifier channels as processes of their own, killed with -9 while messages come in."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack

import asyncpg
import pytest

from service.embedded.child import Child
from tests.support.channel_kill_case import ChannelKillCase
from tests.support.channel_kill_cases import CHANNEL_KILL_CASES
from tests.support.running import RunningService
from tests.support.waiting import wait_until

QUICK = {
    "AFTERTONE_NOTIFIER_RETRIES_S": "0.1,0.2,0.5,1,2",
    "AFTERTONE_NOTIFIER_LEASE_MARGIN_S": "0.5",
    "AFTERTONE_NOTIFIER_ACK_WAIT_S": "1",
}
LEAST = 12
# In a long run the other tests leave thousands of events, which come first.
_PATIENCE_S = 900


async def killed(
    service: RunningService, kinds: Sequence[type[ChannelKillCase]], kills: int, pause_s: float
) -> None:
    """Much happens while a process of these channels is killed; then everything is looked at."""
    async with AsyncExitStack() as stack:
        inspector = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
        stack.push_async_callback(inspector.close)
        proofs, options = [], {**QUICK}
        for kind in kinds:
            account = await service.an_account()
            stack.push_async_callback(account.http.aclose)
            case = await stack.enter_async_context(kind.open(account, inspector))
            proofs.append(case)
            options |= case.environment

        async def start() -> Child:
            return await service.start("notifier", *(one.channel for one in kinds), **options)

        over = asyncio.Event()
        acting = asyncio.gather(*(act(case, over, pause_s) for case in proofs))
        stack.callback(acting.cancel)
        chance = random.Random(kills)
        for _ in range(kills):
            process = await start()
            await at_work(proofs)
            await asyncio.sleep(chance.uniform(0, 0.5))
            await kill(process, proofs)
        over.set()
        await acting
        await let_leases_end(inspector)
        process = await start()
        for case in proofs:
            await wait_until(case.complete, within_s=_PATIENCE_S, every_s=0.2)
        await process.stop()
        for case in proofs:
            assert await case.complete()
            print(f"{case.channel}, killed {kills} times: {await case.look()}")


async def act(case: ChannelKillCase, over: asyncio.Event, pause_s: float) -> None:
    while not over.is_set() or case.acts < LEAST:
        await case.act(case.acts)
        case.acts += 1
        await asyncio.sleep(pause_s)


async def at_work(proofs: Sequence[ChannelKillCase]) -> None:
    """Waits until a process that was started has done something in each of its channels."""
    before = [await case.progress() for case in proofs]

    async def all_progress() -> bool:
        now = [await case.progress() for case in proofs]
        return all(later > earlier for earlier, later in zip(before, now, strict=True))

    await wait_until(all_progress, within_s=_PATIENCE_S, every_s=0.05)


async def kill(process: Child, proofs: Sequence[ChannelKillCase]) -> None:
    begun = [len(case.effects()) for case in proofs]
    await process.kill()
    for case, before in zip(proofs, begun, strict=True):
        case.kills.append((before, len(case.effects())))


async def let_leases_end(inspector: asyncpg.Connection) -> None:
    """As if the time had passed for which what a killed process had in hand is its own."""
    await inspector.execute(
        "UPDATE deliveries SET next_at = now() WHERE status = 'pending' AND lease_until IS NOT NULL"
    )


async def test_killed_channels_forget_nothing_and_repeat_only_what_they_had_in_hand(
    service: RunningService,
) -> None:
    await killed(service, CHANNEL_KILL_CASES, kills=2, pause_s=0.3)


@pytest.mark.long
@pytest.mark.parametrize("kind", CHANNEL_KILL_CASES, ids=lambda kind: kind.channel)
async def test_a_channel_killed_fifty_times_forgets_nothing_and_repeats_only_what_it_had_in_hand(
    service: RunningService, kind: type[ChannelKillCase]
) -> None:
    await killed(service, [kind], kills=50, pause_s=0.2)
