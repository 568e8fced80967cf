"""One token gets a limited number of event streams, and other clients are served meanwhile."""

import asyncio

import aiohttp

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.support.running import RunningService

_RETRY_S = 5


async def attack(api: AttackedApi, size: int) -> Report:
    """Each client opens a stream and keeps it; it retries after a refusal."""
    path = api.attacker.path("events")
    async with api.watched() as watch, api.session(Accept="text/event-stream") as session:

        async def listen(_client: int) -> None:
            try:
                async with session.get(path) as response:
                    watch.outcomes[str(response.status)] += 1
                    if response.status == 200:
                        await response.read()
                    elif "Retry-After" not in response.headers:
                        watch.outcomes["without Retry-After"] += 1
            except aiohttp.ClientError:
                watch.outcomes["broken"] += 1
            await asyncio.sleep(_RETRY_S)

        async with repeating(listen, size):
            await watch.hold()
    return watch.report


ATTACK = Attack(
    name="event streams",
    sent="{size} event streams with one token",
    quick=200,
    long=4_200,
    run=attack,
)


@sizes(ATTACK)
async def test_streams_beyond_the_limit_of_a_token_are_refused(
    service: RunningService, size: int
) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    # Connections beyond the limit of a peer end without a response.
    assert {"200", "429"} <= report.outcomes.keys() <= {"200", "429", "broken"}
