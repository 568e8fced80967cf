"""Writes that create a missing partition on demand."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from service.domain.message import month_of
from service.logs import get_logger
from service.postgres.months import ensure_audit_month, ensure_month, ensure_outbox_day
from service.postgres.pool import Connection, Database, MissingPartition

log = get_logger(__name__)

Result = TypeVar("Result")


async def with_partitions(
    database: Database,
    month: int,
    now: datetime,
    work: Callable[[Connection], Awaitable[Result]],
    owner: Database | None = None,
) -> Result:
    """Runs `work`. If a partition is missing, creates those of `month` and today and retries.

    `owner` may create months before the oldest one that `database` may create. Raises
    MonthNotAllowed.
    """
    try:
        async with database.connection() as connection:
            return await work(connection)
    except MissingPartition:
        async with (owner or database).connection() as connection:
            await ensure_month(connection, month)
            await ensure_outbox_day(connection, now.date())
            await ensure_audit_month(connection, month_of(now))
        log.info("partition created on demand", month=month)
        async with database.connection() as connection:
            return await work(connection)
