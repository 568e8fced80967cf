"""Division of the shards between the relays. Each relay computes its own part."""

from collections.abc import Collection

import msgspec

from service.domain.relay_shards import buckets_of
from service.postgres.relay_shards import RelaySurvey


class ShardChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Shards to keep, buckets to release, and shards to acquire (their buckets)."""

    kept: list[int]
    surplus: list[int]
    missing: list[list[int]]


def compute_changes(survey: RelaySurvey, held: Collection[int]) -> ShardChanges:
    """Returns the changes that give this relay its fair number of shards.

    The numbers of two relays differ by at most one; the first relays in the order of sessions have
    the higher one. A relay keeps its shards up to its number. All numbers together are the number
    of shards, so each shard has a relay as soon as the locks are free.
    """
    shards = {shard: buckets_of(shard, survey.shards) for shard in range(survey.shards)}
    number = _fair_number(survey)
    complete = [shard for shard, buckets in shards.items() if set(buckets) <= set(held)]
    kept = complete[:number]
    kept_buckets = {bucket for shard in kept for bucket in shards[shard]}
    unavailable = survey.taken | set(held)
    free = [buckets for buckets in shards.values() if unavailable.isdisjoint(buckets)]
    return ShardChanges(
        kept=kept,
        surplus=sorted(set(held) - kept_buckets),
        missing=free[: number - len(kept)],
    )


def _fair_number(survey: RelaySurvey) -> int:
    least, remainder = divmod(survey.shards, len(survey.sessions))
    return least + (survey.sessions.index(survey.session) < remainder)
