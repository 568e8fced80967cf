"""Lists of large documents take little memory."""

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.attacks.preparation import create_large_vmboxes
from tests.support.running import RunningService
from tests.support.waiting import wait_until

_CLIENTS = 4
_MEMORY_MB = 128


async def attack(api: AttackedApi, size: int) -> Report:
    """Some clients read pages of all boxes."""
    await create_large_vmboxes(api, size)
    path = api.attacker.path("vmboxes") + "?page_size=1000"
    async with api.watched() as watch, api.session() as session:

        async def read_page(_client: int) -> None:
            async with session.get(path) as response:
                await response.read()
                watch.outcomes[str(response.status)] += 1

        async with repeating(read_page, _CLIENTS):
            await watch.hold()
            await wait_until(lambda: watch.outcomes.total() >= _CLIENTS)
    return watch.report


ATTACK = Attack(
    name="lists of large documents",
    sent="pages of {size} boxes of 64 KiB, 4 at a time",
    quick=40,
    long=300,
    run=attack,
)


@sizes(ATTACK)
async def test_lists_of_large_documents_take_little_memory(
    service: RunningService, size: int
) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes["200"] > 0
    assert report.peak_mb - report.idle_mb < _MEMORY_MB
