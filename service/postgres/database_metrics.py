"""Database metrics: one function per statement of database_metrics.sql.

Each statement stops at its limit, so its cost does not grow with the data.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("database_metrics")

# Upper bound of counts. Counting more rows would cost time and add no information.
MAX_COUNT = 50_000


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Number of waiting items, and the age of the oldest."""

    number: int
    oldest_s: float


class PartitionsAhead(msgspec.Struct, frozen=True, kw_only=True):
    """Number of months and outbox days after the current ones that have a partition."""

    months: int
    days: int


class KeeperRun(msgspec.Struct, frozen=True, kw_only=True):
    """Last completed run of a step of the keeper: its end and its counters."""

    finished_at: datetime
    done: Mapping[str, int]


async def read_outbox_backlog(connection: Connection) -> Backlog:
    """Returns the backlog of unsent events."""
    record = await _SQL["read_outbox_backlog"].fetchrow(connection, limit=MAX_COUNT)
    assert record is not None
    return Backlog(number=record["backlog"], oldest_s=record["oldest_s"])


async def read_shard_lags(connection: Connection) -> Mapping[int, float]:
    """Returns the age of the oldest unsent event of each shard of the relay."""
    records = await _SQL["read_shard_lags"].fetch(connection)
    return {record["shard"]: record["lag_s"] for record in records}


async def read_delivery_backlogs(connection: Connection) -> Mapping[str, Backlog]:
    """Returns the backlog of due deliveries for each channel that was ever started."""
    records = await _SQL["read_delivery_backlogs"].fetch(connection, limit=MAX_COUNT)
    return {
        record["channel"]: Backlog(number=record["due"], oldest_s=record["oldest_s"])
        for record in records
    }


async def count_dead_deliveries(connection: Connection) -> Mapping[str, int]:
    """Returns the number of dead deliveries by channel, without channels that have none."""
    records = await _SQL["count_dead_deliveries"].fetch(connection, limit=MAX_COUNT)
    return {record["channel"]: record["dead"] for record in records}


async def count_partitions_ahead(connection: Connection) -> PartitionsAhead:
    """Returns the number of partitions after the current ones."""
    record = await _SQL["count_partitions_ahead"].fetchrow(connection)
    assert record is not None
    return PartitionsAhead(**dict(record))


async def list_keeper_runs(connection: Connection) -> Mapping[str, KeeperRun]:
    """Returns the last run by step, without steps that never completed."""
    records = await _SQL["list_keeper_runs"].fetch(connection)
    return {
        record["step"]: KeeperRun(finished_at=record["finished_at"], done=record["done"])
        for record in records
    }
