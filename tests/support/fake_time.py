"""Fake time of a test's database: `now()` of all statements, set by the test."""

from datetime import datetime

import asyncpg

# A schema before pg_catalog in the search path replaces its functions in statements that do not
# name the schema. Defaults of columns were bound when the table was created.
_REPLACE_NOW = """
CREATE SCHEMA fake;
CREATE TABLE fake.clock AS SELECT pg_catalog.now() AS moment;
CREATE FUNCTION fake.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT moment FROM fake.clock';
GRANT USAGE ON SCHEMA fake TO PUBLIC;
GRANT SELECT ON fake.clock TO PUBLIC;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT oid::regclass::text FROM pg_class
        WHERE oid = 'messages'::regclass
            OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'messages'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER created_at SET DEFAULT fake.now()', name);
        EXECUTE format('ALTER TABLE %s ALTER changed_at SET DEFAULT fake.now()', name);
    END LOOP;
    EXECUTE format(
        'ALTER DATABASE %I SET search_path = fake, pg_catalog, public', current_database());
END $$;
"""


class FakeTime:
    """Clock of the service and of its database. Sessions that are opened later use it."""

    def __init__(self, owner: asyncpg.Connection, begin: datetime) -> None:
        self._owner = owner
        self.now = begin

    async def install(self) -> None:
        await self._owner.execute(_REPLACE_NOW)
        await self.advance_to(self.now)

    async def advance_to(self, moment: datetime) -> None:
        self.now = moment
        await self._owner.execute("UPDATE fake.clock SET moment = $1", moment)

    def __call__(self) -> datetime:
        return self.now
