"""A database that one test after the other uses.

A clone of the template takes half a second of the processor. To empty the tables that a test wrote
takes a tenth of that. A test that changed more than rows and months causes a new clone.
"""

import asyncpg

from tests.support.waiting import wait_until

# Catalogs that describe the schema. TRUNCATE changes rows of pg_class too, hence `_learn`.
_CATALOGS = (
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_constraint",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_extension",
    "pg_index",
    "pg_inherits",
    "pg_namespace",
    "pg_policy",
    "pg_proc",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_type",
)
# Number of rows and newest transaction of each catalog, and the tables that have statistics.
_STATE = "(SELECT (count(*), max(xmin::text::bigint))::text FROM {})"
_STATISTICS = "(SELECT count(*)::text FROM pg_statistic WHERE starelid >= 16384)"
_SCHEMA = "SELECT " + ", ".join([*map(_STATE.format, _CATALOGS), _STATISTICS])
_END_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# A table without pages has not been written since it was created or truncated.
_WRITTEN = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
_NEW_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND oid <> ALL ($1)
"""
_TABLES = "SELECT oid FROM pg_class WHERE relkind = 'r'"
_RESTART_SEQUENCES = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"


class ReusableDatabase:
    """Database of a superuser's session, which returns it to the state of the template."""

    def __init__(self, name: str, connection: asyncpg.Connection) -> None:
        self.name = name
        self._connection = connection
        self._rows: dict[str, list[str]] = {}
        self._tables: list[int] = []
        self._schema: asyncpg.Record | None = None

    @classmethod
    async def open(cls, name: str, url: str) -> "ReusableDatabase":
        """Opens a new clone of the template. `url` is that of a superuser."""
        connection = await asyncpg.connect(url, server_settings={"lock_timeout": "30s"})
        opened = cls(name, connection)
        opened._rows = {table: await opened._rows_of(table) for table in await opened._written()}
        opened._tables = [row["oid"] for row in await connection.fetch(_TABLES)]
        await opened._learn()
        return opened

    def close(self) -> None:
        self._connection.terminate()

    async def reset(self) -> bool:
        """Ends all sessions, drops new tables, such as months, and restores all rows.

        Returns False if the schema has changed otherwise.
        """
        try:
            await wait_until(self._has_no_sessions, every_s=0.002)
            if not await self._has_its_schema():
                await self._drop_new_tables()
                if not await self._has_its_schema():
                    return False
            await self._restore_rows()
            await self._learn()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # Postgres was restarted, or a session holds a lock.
            return False
        return True

    async def _has_no_sessions(self) -> bool:
        return not await self._connection.fetchval(_END_OTHERS)

    async def _has_its_schema(self) -> bool:
        return await self._connection.fetchrow(_SCHEMA) == self._schema

    async def _drop_new_tables(self) -> None:
        for row in await self._connection.fetch(_NEW_TABLES, self._tables):
            await self._connection.execute(f"DROP TABLE {row[0]}")

    async def _restore_rows(self) -> None:
        changed = [
            table
            for table in await self._written()
            if table not in self._rows or self._rows[table] != await self._rows_of(table)
        ]
        if changed:
            await self._connection.execute(f"TRUNCATE {', '.join(changed)}")
        for table in self._rows.keys() & set(changed):
            insert = f"INSERT INTO {table} SELECT (line::{table}).* FROM unnest($1::text[]) AS line"  # noqa: S608
            await self._connection.execute(insert, self._rows[table])
        await self._connection.execute(_RESTART_SEQUENCES)

    async def _learn(self) -> None:
        self._schema = await self._connection.fetchrow(_SCHEMA)

    async def _written(self) -> list[str]:
        return [row[0] for row in await self._connection.fetch(_WRITTEN)]

    async def _rows_of(self, table: str) -> list[str]:
        rows = await self._connection.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1")  # noqa: S608
        return [row[0] for row in rows]
