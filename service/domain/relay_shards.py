"""Shards of the relay: fixed buckets of boxes, and ranges of buckets."""

BUCKETS = 64
"""Number of buckets. The function `relay_bucket` of the database uses the same number."""


def shard_of(bucket: int, shards: int) -> int:
    return bucket * shards // BUCKETS


def buckets_of(shard: int, shards: int) -> list[int]:
    """Returns the buckets of a shard in ascending order, if there are `shards` shards."""
    return [bucket for bucket in range(BUCKETS) if shard_of(bucket, shards) == shard]
