"""Requests with many filters are refused, and do not stop the event loop."""

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.attacks.preparation import create_large_vmboxes
from tests.support.running import RunningService

_FILTERS, _FEW_FILTERS = 300, 20


async def attack(api: AttackedApi, size: int) -> Report:
    """One client uses as many filters as are allowed, another one many more."""
    await create_large_vmboxes(api, size)
    paths = [
        api.attacker.path("vmboxes")
        + "?page_size=1000&"
        + "&".join(f"filter_not_filler={number}" for number in range(count))
        for count in (_FEW_FILTERS, _FILTERS)
    ]
    async with api.watched() as watch, api.session() as session:

        async def read_page(client: int) -> None:
            async with session.get(paths[client]) as response:
                text = await response.text()
                watch.outcomes[f"{response.status}{' with many' * client}"] += 1
                assert response.status != 400 or "filter" in text

        async with repeating(read_page, len(paths)):
            await watch.hold()
    return watch.report


ATTACK = Attack(
    name="filters",
    sent="lists of {size} boxes of 64 KiB with 20 and with 300 filters",
    quick=20,
    long=300,
    run=attack,
)


@sizes(ATTACK)
async def test_many_filters_are_refused_and_others_are_served(
    service: RunningService, size: int
) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes.keys() == {"200", "400 with many"}
