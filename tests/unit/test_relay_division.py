"""Division of the shards: each relay computes its part, and the parts are fair and complete."""

import pytest

from service.domain.relay_shards import BUCKETS, buckets_of
from service.postgres.relay_shards import RelaySurvey
from service.workers.relay.division import ShardChanges, compute_changes

Holdings = dict[int, set[int]]


def changes_of(session: int, holdings: Holdings, shards: int) -> ShardChanges:
    taken = set().union(*(held for other, held in holdings.items() if other != session))
    survey = RelaySurvey(
        shards=shards, session=session, sessions=sorted(holdings), taken=frozenset(taken)
    )
    return compute_changes(survey, holdings[session])


def settled(holdings: Holdings, shards: int) -> Holdings:
    """Applies the changes of one relay after the other until there are none."""
    for _ in range(10):
        changed = False
        for session, held in holdings.items():
            changes = changes_of(session, holdings, shards)
            held -= set(changes.surplus)
            held |= {bucket for buckets in changes.missing for bucket in buckets}
            changed = changed or bool(changes.surplus or changes.missing)
        if not changed:
            return holdings
    pytest.fail("the division does not settle")


def shards_of(held: set[int], shards: int) -> list[int]:
    return [shard for shard in range(shards) if set(buckets_of(shard, shards)) <= held]


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("relays", [1, 2, 3, 5])
def test_each_shard_has_one_relay_and_the_numbers_are_fair(relays: int, shards: int) -> None:
    holdings = settled({session: set() for session in range(relays)}, shards)
    assert sorted(bucket for held in holdings.values() for bucket in held) == [*range(BUCKETS)]
    numbers = [len(shards_of(held, shards)) for held in holdings.values()]
    assert sum(numbers) == shards
    assert max(numbers) - min(numbers) <= 1


def test_a_relay_keeps_its_shards_when_another_joins_or_ends() -> None:
    holdings = settled({1: set()}, 4)
    holdings = settled(holdings | {2: set()}, 4)
    assert [shards_of(held, 4) for held in holdings.values()] == [[0, 1], [2, 3]]
    before = {session: set(held) for session, held in holdings.items()}
    holdings = settled(holdings | {3: set()}, 4)
    assert holdings[1] == before[1]
    assert holdings[2] < before[2]
    del holdings[2]
    assert settled(holdings, 4)[1] == before[1]


@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4), (4, 1), (1, 64), (3, 5)])
def test_a_change_of_the_number_settles(before: int, after: int) -> None:
    holdings = settled(settled({1: set(), 2: set(), 3: set()}, before), after)
    assert sorted(bucket for held in holdings.values() for bucket in held) == [*range(BUCKETS)]
