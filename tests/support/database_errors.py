"""Errors of Postgres with any SQLSTATE, raised by triggers, and their metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from service.metrics import REGISTRY

_FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'fault of a test' USING ERRCODE = TG_ARGV[0];
END
$$
"""
_FAIL_UPDATES = """
CREATE TRIGGER fail BEFORE UPDATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION fail('{}')
"""


@asynccontextmanager
async def failing_updates(
    owner: asyncpg.Connection, table: str, sqlstate: str
) -> AsyncIterator[None]:
    """Makes every update of a table fail during the block."""
    await owner.execute(_FAIL)
    await owner.execute(_FAIL_UPDATES.format(table, sqlstate))
    try:
        yield
    finally:
        await owner.execute(f"DROP TRIGGER fail ON {table}")
        await owner.execute("DROP FUNCTION fail")


def count_failures() -> float:
    """Returns the number of errors that the alert AftertoneUnexpectedErrors counts."""
    reason = {"reason": "InternalServerError"}
    unexpected = REGISTRY.get_sample_value("aftertone_unexpected_errors_total") or 0
    return unexpected + (REGISTRY.get_sample_value("aftertone_sql_errors_total", reason) or 0)
