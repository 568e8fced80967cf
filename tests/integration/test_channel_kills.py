"""Notifier channels in processes that are killed while messages arrive."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from tests.support.channel_kill_case import ChannelKillCase
from tests.support.channel_kill_cases import CHANNEL_KILL_CASES
from tests.support.forked import ServiceProcess
from tests.support.running import RunningService
from tests.support.waiting import wait_until

QUICK = {
    "AFTERTONE_NOTIFIER_RETRIES_S": "0.1,0.2,0.5,1,2",
    "AFTERTONE_NOTIFIER_LEASE_MARGIN_S": "5",
    "AFTERTONE_NOTIFIER_ACK_WAIT_S": "3",
}
LEAST = 12
# In a long run the other tests leave thousands of events, which come first.
_PATIENCE_S = 900


async def killed(
    service: RunningService, kinds: Sequence[type[ChannelKillCase]], kills: int, pause_s: float
) -> None:
    """Kills a process of these channels while events arrive, then checks every effect."""
    async with AsyncExitStack() as stack:
        inspector = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
        stack.push_async_callback(inspector.close)
        cases, options = [], {**QUICK}
        for kind in kinds:
            account = await service.an_account()
            stack.push_async_callback(account.http.aclose)
            case = await stack.enter_async_context(kind.open(account, inspector))
            cases.append(case)
            options |= case.environment

        async def start() -> ServiceProcess:
            return await service.start("notifier", *(item.channel for item in kinds), **options)

        over = asyncio.Event()
        acting = asyncio.gather(*(act(case, over, pause_s) for case in cases))
        stack.callback(acting.cancel)
        chance = random.Random(kills)
        for _ in range(kills):
            process = await start()
            await progressed(cases, chance.randint(1, 3))
            await kill(process, cases)
        over.set()
        await acting
        await let_leases_end(inspector)
        process = await start()
        for case in cases:
            await wait_until(case.complete, within_s=_PATIENCE_S, every_s=0.2)
        await process.stop()
        for case in cases:
            assert await case.complete()
            print(f"{case.channel}, killed {kills} times: {await case.check()}")


async def act(case: ChannelKillCase, over: asyncio.Event, pause_s: float) -> None:
    while not over.is_set() or case.acts < LEAST:
        await case.act(case.acts)
        case.acts += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), pause_s)


async def progressed(cases: Sequence[ChannelKillCase], steps: int) -> None:
    """Waits until each channel of a started process has made so many steps."""
    before = [await case.progress() for case in cases]

    async def all_progress() -> bool:
        now = [await case.progress() for case in cases]
        return all(later >= earlier + steps for earlier, later in zip(before, now, strict=True))

    await wait_until(all_progress, within_s=_PATIENCE_S, every_s=0.05)


async def kill(process: ServiceProcess, cases: Sequence[ChannelKillCase]) -> None:
    begun = [len(case.effects()) for case in cases]
    await process.kill()
    for case, before in zip(cases, begun, strict=True):
        case.kills.append((before, len(case.effects())))


async def let_leases_end(inspector: asyncpg.Connection) -> None:
    """Makes the leased deliveries of a killed process due."""
    await inspector.execute(
        "UPDATE deliveries SET next_at = now() WHERE status = 'pending' AND lease_until IS NOT NULL"
    )


@pytest.mark.long
async def test_killed_channels_lose_no_delivery_and_repeat_only_leased_ones(
    service: RunningService,
) -> None:
    await killed(service, CHANNEL_KILL_CASES, kills=2, pause_s=0.3)


@pytest.mark.long
@pytest.mark.parametrize("kind", CHANNEL_KILL_CASES, ids=lambda kind: kind.channel)
async def test_a_channel_killed_fifty_times_loses_no_delivery_and_repeats_only_leased_ones(
    service: RunningService, kind: type[ChannelKillCase]
) -> None:
    await killed(service, [kind], kills=50, pause_s=0.2)
