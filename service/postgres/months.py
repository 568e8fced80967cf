"""Partitions for months of messages and audit and days of the outbox, ahead or on demand."""

from datetime import date, datetime, timedelta

from service.domain.message import month_after, month_of
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("months")

MONTHS_AHEAD = 3
OUTBOX_DAYS_AHEAD = 35


async def ensure_month(connection: Connection, month: int) -> bool:
    """Creates the partition of `month` (YYYYMM). Returns False when it exists."""
    created: bool = await _SQL["ensure_month"].fetchval(connection, month=month)
    return created


async def ensure_outbox_day(connection: Connection, day: date) -> bool:
    """Creates the outbox partition of `day`. Returns False when it exists."""
    created: bool = await _SQL["ensure_outbox_day"].fetchval(connection, day=day)
    return created


async def ensure_audit_month(connection: Connection, month: int) -> bool:
    """Creates the audit partition of `month` (YYYYMM). Returns False when it exists."""
    created: bool = await _SQL["ensure_audit_month"].fetchval(connection, month=month)
    return created


async def ensure_ahead(connection: Connection, now: datetime) -> list[str]:
    """Creates all partitions for the near future. Returns the names of the new ones."""
    created = []
    for ahead in range(-1, MONTHS_AHEAD + 1):
        month = month_after(month_of(now), ahead)
        if await ensure_month(connection, month):
            created.append(f"messages of {month}")
        if await ensure_audit_month(connection, month):
            created.append(f"audit of {month}")
    for days in range(-1, OUTBOX_DAYS_AHEAD + 1):
        day = now.date() + timedelta(days=days)
        if await ensure_outbox_day(connection, day):
            created.append(f"outbox of {day}")
    return created
