"""Partitions for months of messages and audit and days of the outbox, ahead or on demand."""

from collections.abc import MutableMapping
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg

from service.domain.errors import MonthNotAllowed
from service.domain.message import month_after, month_of
from service.postgres.pool import Connection
from service.postgres.sql import Statement, load
from service.postgres.timing import Months

_SQL = load("months")

# Lists of the default retention name all its months.
MONTHS_BEFORE = 4
MONTHS_AHEAD = 3
OUTBOX_DAYS_AHEAD = 35


async def ensure_month(connection: Connection, month: int) -> bool:
    """Creates the partition of `month` (YYYYMM). Returns False when it exists.

    Raises MonthNotAllowed.
    """
    try:
        created: bool = await _SQL["ensure_month"].fetchval(connection, month=month)
    except asyncpg.InvalidParameterValueError as error:
        raise MonthNotAllowed from error
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
    """Creates all partitions of the near past and future. Returns the names of the new ones."""
    created = []
    for ahead in range(-MONTHS_BEFORE, MONTHS_AHEAD + 1):
        month = month_after(month_of(now), ahead)
        if await ensure_month(connection, month):
            created.append(f"messages of {month}")
        if ahead >= -1 and await ensure_audit_month(connection, month):
            created.append(f"audit of {month}")
    for days in range(-1, OUTBOX_DAYS_AHEAD + 1):
        day = now.date() + timedelta(days=days)
        if await ensure_outbox_day(connection, day):
            created.append(f"outbox of {day}")
    return created


async def fetchrow_of_month(
    connection: Connection, statement: Statement, **values: Any
) -> asyncpg.Record | None:
    """Runs a statement on the messages of one `month`, as `fetch_of_months`; returns one row."""
    rows = await fetch_of_months(connection, statement, (values["month"],), **values)
    return rows[0] if rows else None


async def fetch_of_months(
    connection: Connection, statement: Statement, months: tuple[int, ...], **values: Any
) -> list[asyncpg.Record]:
    """Runs a statement on the messages of some months and returns all rows.

    In a pool with generic plans, the statement names the partitions. Each connection then plans it
    once for these months and locks only these partitions. The statement names the whole table and
    is planned with its values if `months` is empty, if a partition does not exist, or if the role
    has no rights on it.
    """
    usable: MutableMapping[Months, bool] | None = getattr(connection, "usable_months", None)
    if usable is None:
        return await statement.fetch(connection, **values)
    if months and await _are_usable(connection, usable, months):
        try:
            return await statement.of_months(months).fetch(connection, **values)
        except asyncpg.UndefinedTableError:
            # The month was dropped.
            usable.clear()
            if connection.is_in_transaction():
                raise
    async with connection.transaction():
        await _SQL["plan_with_values"].execute(connection)
        return await statement.fetch(connection, **values)


async def _are_usable(
    connection: Connection, usable: MutableMapping[Months, bool], months: tuple[int, ...]
) -> bool:
    key = months[0] if len(months) == 1 else months
    are_usable = usable.get(key)
    if are_usable is None:
        are_usable = True
        for month in months:
            are_usable = are_usable and await _is_usable(connection, month)
        usable[key] = are_usable
    return are_usable


async def _is_usable(connection: Connection, month: int) -> bool:
    is_usable: bool = await _SQL["is_month_usable"].fetchval(connection, month=month)
    return is_usable
