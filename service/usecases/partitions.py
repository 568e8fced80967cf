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
    database: Database, month: int, now: datetime, work: Callable[[Connection], Awaitable[Result]]
) -> Result:
    """Runs `work`. If a partition is missing, creates those of `month` and today and retries."""
    try:
        async with database.connection() as connection:
            return await work(connection)
    except MissingPartition:
        async with database.connection() as connection:
            await ensure_month(connection, month)
            await ensure_outbox_day(connection, now.date())
            await ensure_audit_month(connection, month_of(now))
            log.info("partition created on demand", month=month)
            return await work(connection)
