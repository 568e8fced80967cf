"""Connections that send nothing are closed, and other clients are served meanwhile."""

import asyncio

from tests.attacks.harness import Attack, AttackedApi, Connection, Report, sizes
from tests.support.running import RunningService

_BATCH = 200
_CONNECT_WITHIN_S = 5
# Above the header timeout, which is 10 s unless set otherwise.
_CLOSED_WITHIN_S = 30


async def attack(api: AttackedApi, size: int) -> Report:
    """Opens the connections, holds them, then waits until they are closed."""
    opened: list[Connection] = []
    async with api.watched() as watch:
        for start in range(0, size, _BATCH):
            batch = (_connect(api) for _ in range(start, min(size, start + _BATCH)))
            opened += [one for one in await asyncio.gather(*batch) if one]
        watch.outcomes["refused"] = size - len(opened)
        await watch.hold()
        endings = [asyncio.create_task(_end(reader)) for reader, _ in opened]
        if endings:
            done, pending = await asyncio.wait(endings, timeout=_CLOSED_WITHIN_S)
            watch.outcomes.update(closed=len(done), open=len(pending))
            for task in pending:
                task.cancel()
    for _, writer in opened:
        writer.transport.abort()
    return watch.report


async def _connect(api: AttackedApi) -> Connection | None:
    try:
        return await asyncio.wait_for(api.connect(), _CONNECT_WITHIN_S)
    except OSError:  # TimeoutError is one
        return None


async def _end(reader: asyncio.StreamReader) -> None:
    try:
        await reader.read()
    except OSError:
        return


ATTACK = Attack(
    name="silent connections",
    sent="{size} TCP connections without a byte",
    quick=300,
    long=4_200,
    run=attack,
    quick_settings={"AFTERTONE_CLIENT_GRACE_S": "3"},
)


@sizes(ATTACK)
async def test_silent_connections_are_closed_and_others_are_served(
    service: RunningService, size: int
) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes["open"] == 0
