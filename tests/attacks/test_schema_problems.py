"""A document with many problems gets a small response, at a small cost."""

from tests.attacks.harness import Attack, AttackedApi, Report, content, repeating, sizes
from tests.support.running import RunningService

_CLIENTS = 2
_RESPONSE_BYTES = 65_536
_MEMORY_MB = 64


async def attack(api: AttackedApi, size: int) -> Report:
    """Some clients create boxes whose aliases are numbers."""
    body = content({"name": "Box", "mailbox": "100", "aliases": [0] * size})
    path = api.attacker.path("vmboxes")
    headers = {"Content-Type": "application/json"}
    async with api.watched() as watch, api.session() as session:

        async def create(_client: int) -> None:
            async with session.put(path, data=body, headers=headers) as response:
                is_large = len(await response.read()) > _RESPONSE_BYTES
                watch.outcomes[f"{response.status}{' large' * is_large}"] += 1

        async with repeating(create, _CLIENTS):
            await watch.hold()
    return watch.report


ATTACK = Attack(
    name="schema problems",
    sent="boxes with {size} aliases of 0, 2 at a time",
    quick=30_000,
    long=500_000,
    run=attack,
)


@sizes(ATTACK)
async def test_many_problems_get_a_small_response(service: RunningService, size: int) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    # Documents above 64 KiB are refused before their fields are checked.
    assert report.outcomes.keys() <= {"400", "413"}
    assert report.outcomes.total() > 0
    assert report.peak_mb - report.idle_mb < _MEMORY_MB
