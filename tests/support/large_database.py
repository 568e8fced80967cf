"""A database with many rows, and the plans of statements that run on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import asyncpg
import msgspec

from service.domain.message import month_after, month_of
from service.embedded.servers import EmbeddedServers
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from tests.support.builders import Box
from tests.support.database import execute

# Half a year over which the messages are spread evenly. It ends in the middle of a month, so that
# plans do not depend on the date.
UNTIL = datetime.now(UTC).replace(day=15, hour=12, minute=0, second=0, microsecond=0)
SINCE = UNTIL - timedelta(days=180)
TWO_YEARS_AGO = UNTIL - timedelta(days=24 * 30)
# The first minutes of the next month, with a few messages and without statistics.
NEW_MONTH = (UNTIL + timedelta(days=30)).replace(day=1, hour=0)
NEW_UNTIL = NEW_MONTH + timedelta(minutes=5)
VMBOXES = 1_000
ACCOUNTS = 5_000

_FILL = """
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256
)
SELECT $1, extract(year FROM at)::integer * 100 + extract(month FROM at)::integer,
    gen_random_uuid(), $2, CASE WHEN n IN (11, 13) THEN 'new' ELSE 'saved' END, true, at, 4200,
    '1001', 'Ann', 'call', '1001@example.com', '100@example.com', 'key', 'audio/mpeg', 5, '\\x00'
FROM generate_series(1, $3::integer) AS n,
    date_trunc('second', $4::timestamptz + ($5::timestamptz - $4) * n / $3) AS at
"""
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
# Autovacuum would take statistics at any moment of a run. A test may take them in a transaction.
_KEEP_STATISTICS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT oid::regclass::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', name);
    END LOOP;
END $$;
GRANT MAINTAIN ON ALL TABLES IN SCHEMA public TO aftertone
"""
_FILL_VMBOXES = """
WITH box AS (
    SELECT CASE n WHEN 1 THEN $2 ELSE gen_random_uuid() END AS id, n
    FROM generate_series(1, $3::integer) AS n
), counts AS (
    INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox, new_count, saved_count)
    SELECT $1, id, n::text, 2, 100000 FROM box
)
INSERT INTO vmboxes (account_id, vmbox_id, name, document)
SELECT $1, id, 'Box ' || to_char(n, 'FM0000'), jsonb_build_object('mailbox', n::text) FROM box
"""
_FILL_ACCOUNTS = """
WITH root AS (
    INSERT INTO accounts (
        account_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed
    )
    VALUES (gen_random_uuid(), '{}', 'root', 'root.example', '{}', '', '') RETURNING account_id
)
INSERT INTO accounts (
    account_id, parent_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed
)
SELECT gen_random_uuid(), account_id, ARRAY[account_id], 'Account ' || n, n || '.example', '{}',
    n::text::bytea, ''
FROM root, generate_series(1, $1::integer) AS n
"""


class LargeDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes of 100, 100 000 and 50 000 messages; the last are not in the statistics.

    `few` has an account of its own; that of `many` and that of `late` have 1 000 boxes. Each box
    has 10 more messages in the new month. `quiet` has 3 messages, in the account of `late`. There
    are 5 000 accounts, `Account 1` and so on. `hot` is a pool with generic plans.
    """

    database: Database
    hot: Database
    few: Box
    many: Box
    late: Box
    quiet: Box


class Plan(msgspec.Struct, frozen=True):
    """Plan of an executed statement."""

    nodes: list[dict[str, Any]]

    @property
    def buffers(self) -> int:
        root = self.nodes[0]
        return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}

    @property
    def months_read(self) -> list[str]:
        relations = [node.get("Relation Name", "") for node in self.nodes if node["Actual Loops"]]
        return sorted({name for name in relations if name.startswith("messages_")})


class ExplainingConnection:
    """Connection that executes each statement and explains the plan that it was executed with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.usable_months = getattr(connection, "usable_months", None)
        self.plans: list[Plan] = []

    async def execute(self, statement: str) -> str:
        return str(await self._connection.execute(statement))

    async def fetchval(self, statement: str, *values: object) -> Any:
        return await self._connection.fetchval(statement, *values)

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        explain = self._explain if self.usable_months is None else self._explain_prepared
        explained = await explain(statement, *values)
        self.plans.append(Plan(_flat(msgspec.json.decode(explained)[0]["Plan"])))
        return await self._connection.fetch(statement, *values)

    async def _explain(self, statement: str, *values: object) -> Any:
        trial = self._connection.transaction()
        await trial.start()
        explained = await self._connection.fetchval(f"{_EXPLAIN} {statement}", *values)
        await trial.rollback()
        return explained

    async def _explain_prepared(self, statement: str, *values: object) -> Any:
        """Explains the plan of the prepared statement. EXPLAIN of its text would plan it again."""
        trial = self._connection.transaction()
        await trial.start()
        await self._connection.fetch(statement, *values)
        await trial.rollback()
        name = await self._connection.fetchval(
            "SELECT name FROM pg_prepared_statements WHERE statement = $1", statement
        )
        literals = ", ".join(map(_literal, values))
        return await self._explain(f'EXECUTE "{name}"({literals})')

    async def fetchrow(self, statement: str, *values: object) -> asyncpg.Record | None:
        rows = await self.fetch(statement, *values)
        return rows[0] if rows else None


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"'\\x{value.hex()}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _flat(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in _flat(child))]


@asynccontextmanager
async def open_large_database(
    servers: EmbeddedServers, template: str
) -> AsyncIterator[LargeDatabase]:
    """Creates and fills a database; drops it at the end."""
    name = f"test_{uuid4().hex}"
    await execute(servers, f"CREATE DATABASE {name} TEMPLATE {template}")
    owner = await asyncpg.connect(servers.postgres.url(name, "aftertone_owner"))
    few, many, late = (Box(uuid4(), uuid4()) for _ in range(3))
    for days in range(0, 181, 15):
        await ensure_month(owner, month_of(UNTIL - timedelta(days=days)))
    await owner.execute(_KEEP_STATISTICS)
    await _fill(owner, few, messages=100, vmboxes=1)
    await _fill(owner, many, messages=100_000, vmboxes=VMBOXES)
    await owner.execute(_FILL_ACCOUNTS, ACCOUNTS)
    await owner.execute("VACUUM ANALYZE messages, vmboxes, vmbox_counts, accounts")
    await _fill(owner, late, messages=50_000, vmboxes=VMBOXES)
    quiet = Box(late.account_id, uuid4())
    await _fill(owner, quiet, messages=3, vmboxes=1)
    await ensure_month(owner, month_of(NEW_MONTH))
    await owner.execute(_KEEP_STATISTICS)
    for box in (few, many, late):
        await _fill_messages(owner, box, 10, NEW_MONTH, NEW_UNTIL)
    await owner.close()
    url = servers.postgres.url(name, "aftertone")
    async with (
        Database.open(url, size=2, timeout_s=30, name="test") as database,
        Database.open(url, size=1, timeout_s=30, name="test", generic_plans=True) as hot,
    ):
        yield LargeDatabase(database=database, hot=hot, few=few, many=many, late=late, quiet=quiet)
    await execute(servers, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")


class GrowingDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """Box whose messages are spread evenly over 24 months, in an account with 1 000 boxes."""

    database: Database
    hot: Database
    owner: asyncpg.Connection
    box: Box

    async def grow(self, messages: int, until: datetime) -> None:
        """Adds messages before `until`, half of them to another box, and takes statistics."""
        other = Box(self.box.account_id, uuid4())
        await self.owner.execute(_FILL_VMBOXES, other.account_id, other.vmbox_id, 1)
        for box in (self.box, other):
            await _fill_messages(self.owner, box, messages // 2, TWO_YEARS_AGO, until)
        await self.owner.execute("VACUUM ANALYZE")


@asynccontextmanager
async def open_growing_database(
    servers: EmbeddedServers, template: str
) -> AsyncIterator[GrowingDatabase]:
    """Creates a database with 24 months; drops it at the end."""
    name = f"test_{uuid4().hex}"
    await execute(servers, f"CREATE DATABASE {name} TEMPLATE {template}")
    owner = await asyncpg.connect(servers.postgres.url(name, "aftertone_owner"))
    for months in range(25):
        await ensure_month(owner, month_after(month_of(UNTIL), -months))
    await owner.execute(_KEEP_STATISTICS)
    box = Box(uuid4(), uuid4())
    await owner.execute(_FILL_VMBOXES, box.account_id, box.vmbox_id, VMBOXES)
    url = servers.postgres.url(name, "aftertone")
    async with (
        Database.open(url, size=2, timeout_s=30, name="test") as database,
        Database.open(url, size=1, timeout_s=30, name="test", generic_plans=True) as hot,
    ):
        yield GrowingDatabase(database=database, hot=hot, owner=owner, box=box)
    await owner.close()
    await execute(servers, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")


async def _fill(owner: asyncpg.Connection, box: Box, *, messages: int, vmboxes: int) -> None:
    await owner.execute(_FILL_VMBOXES, box.account_id, box.vmbox_id, vmboxes)
    await _fill_messages(owner, box, messages, SINCE, UNTIL)


async def _fill_messages(
    owner: asyncpg.Connection, box: Box, messages: int, since: datetime, until: datetime
) -> None:
    await owner.execute(_FILL, box.account_id, box.vmbox_id, messages, since, until)


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Connection]:
    """Yields a connection whose changes are rolled back."""
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection
        await transaction.rollback()


async def explained(
    database: Database, act: Callable[[Connection], Awaitable[object]]
) -> tuple[Plan, object]:
    """Returns the plan of the last statement of `act`, and the result of `act`."""
    async with undone(database) as connection:
        explaining = ExplainingConnection(connection)
        answer = await act(cast(Connection, explaining))
    return explaining.plans[-1], answer
