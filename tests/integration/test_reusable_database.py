"""The database of a test equals the template, after any earlier test."""

import asyncpg
import pytest

from service.embedded.servers import EmbeddedServers
from tests.support.database import DatabasePool
from tests.support.relay import a_box
from tests.support.reusable_database import ReusableDatabase

_ROWS = "SELECT count(*) FROM vmbox_counts UNION ALL SELECT count(*) FROM pg_class"
_SEQUENCE = "SELECT last_value FROM outbox_seq_seq"
_RELAY_STATE = "SELECT t::text FROM relay_state AS t"


async def session_of(servers: EmbeddedServers, database: ReusableDatabase) -> asyncpg.Connection:
    return await asyncpg.connect(servers.postgres.url(database.name, "aftertone_owner"))


async def state_of(
    servers: EmbeddedServers, database: ReusableDatabase
) -> list[list[asyncpg.Record]]:
    session = await session_of(servers, database)
    state = [await session.fetch(query) for query in (_ROWS, _SEQUENCE, _RELAY_STATE)]
    await session.close()
    return state


async def test_rows_tables_sequences_and_sessions_of_a_test_are_gone(
    servers: EmbeddedServers, database_pool: DatabasePool
) -> None:
    first = await database_pool.acquire()
    before = await state_of(servers, first)
    session = await session_of(servers, first)
    await a_box(session)
    await session.execute("SELECT nextval('outbox_seq_seq'); DELETE FROM relay_state")
    await session.execute("SELECT ensure_month(201502); CREATE TABLE mine (id integer)")
    await session.transaction().start()
    await a_box(session)

    await database_pool.release(first)
    second = await database_pool.acquire()
    assert second.name == first.name
    assert await state_of(servers, second) == before
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await session.fetch("SELECT 1")
    await database_pool.release(second)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE vmboxes ADD COLUMN mine integer",
        "DROP INDEX deliveries_by_age",
        "REVOKE ALL ON vmboxes FROM aftertone",
        "ALTER TABLE keeper_steps RENAME TO mine; ALTER TABLE mine RENAME TO keeper_steps",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN 1",
        "ANALYZE accounts, deployment",
    ],
)
async def test_after_a_change_of_the_schema_the_next_test_has_a_new_clone(
    servers: EmbeddedServers, database_pool: DatabasePool, change: str
) -> None:
    first = await database_pool.acquire()
    session = await session_of(servers, first)
    await session.execute(change)
    await session.close()

    await database_pool.release(first)
    second = await database_pool.acquire()
    assert second.name != first.name
    await database_pool.release(second)
