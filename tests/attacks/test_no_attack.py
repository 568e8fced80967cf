"""The measurement itself: without an attack the other tenant is served."""

import pytest

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.support.running import RunningService


async def attack(api: AttackedApi, size: int) -> Report:
    """Some clients of the other account list its boxes, as clients do."""
    path = api.attacker.path("vmboxes")
    async with api.watched() as watch, api.session() as session:

        async def list_vmboxes(_client: int) -> None:
            async with session.get(path) as response:
                watch.outcomes[str(response.status)] += 1

        async with repeating(list_vmboxes, size):
            await watch.hold()
    return watch.report


ATTACK = Attack(
    name="none",
    sent="lists of boxes, {size} at a time",
    quick=2,
    long=8,
    run=attack,
)


@pytest.mark.long
@sizes(ATTACK, in_quick_tier=True)
async def test_usual_requests_of_two_tenants_are_served(service: RunningService, size: int) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes.keys() == {"200"}
    assert report.idle_mb <= report.peak_mb
