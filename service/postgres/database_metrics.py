"""What is watched of the database all the time; one function per statement of watch.sql.

No statement reads more the more is stored: each ends at its limit.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("database_metrics")

# Beyond it the number says nothing more, and counting would begin to cost.
MOST = 50_000


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How many wait, and for how long the first has."""

    number: int
    oldest_s: float


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """How many months and outbox days after the present ones have their partition."""

    months: int
    days: int


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """When a step of the keeper last ran to its end, and how many of what it did."""

    finished_at: datetime
    done: Mapping[str, int]


async def watch_outbox(connection: Connection) -> Waiting:
    """The events that wait to be published."""
    record = await connection.fetchrow(_SQL["watch_outbox"], MOST)
    assert record is not None
    return Waiting(number=record["backlog"], oldest_s=record["oldest_s"])


async def watch_deliveries(connection: Connection) -> Mapping[str, Waiting]:
    """By channel that has ever run, the deliveries that are due and in nobody's hands."""
    records = await connection.fetch(_SQL["watch_deliveries"], MOST)
    return {
        record["channel"]: Waiting(number=record["due"], oldest_s=record["oldest_s"])
        for record in records
    }


async def watch_dead(connection: Connection) -> Mapping[str, int]:
    """By channel, the deliveries that were given up; a channel without any is left out."""
    records = await connection.fetch(_SQL["watch_dead"], MOST)
    return {record["channel"]: record["dead"] for record in records}


async def watch_partitions(connection: Connection) -> Ahead:
    """How far ahead there is room."""
    record = await connection.fetchrow(_SQL["watch_partitions"])
    assert record is not None
    return Ahead(**dict(record))


async def watch_keeper(connection: Connection) -> Mapping[str, StepDone]:
    """By step, its last run; a step that never ran to its end is left out."""
    records = await connection.fetch(_SQL["watch_keeper"])
    return {
        record["step"]: StepDone(finished_at=record["finished_at"], done=record["done"])
        for record in records
    }
