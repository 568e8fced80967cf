"""An unused database for each test: a clone of a template that is migrated once per session."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest_asyncio

from service.embedded.servers import EmbeddedServers
from service.postgres.migrate import migrate
from service.postgres.months import OUTBOX_DAYS_AHEAD
from service.postgres.pool import Database
from tests.support.reusable_database import ReusableDatabase
from tests.support.waiting import wait_until

_TEMPLATE = "migrated"
_DAYS = 3
_BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"


class TestDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """URLs of a test's database for the service's role and for the owner."""

    __test__ = False

    url: str
    owner_url: str


async def execute(servers: EmbeddedServers, statement: str, role: str = "aftertone_owner") -> None:
    connection = await asyncpg.connect(servers.postgres.url("postgres", role))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def until_blocked(connection: asyncpg.Connection) -> None:
    """Waits until a session waits for the end of another transaction, such as this connection's."""

    async def is_blocked() -> bool:
        return bool(await connection.fetchval(_BLOCKED))

    await wait_until(is_blocked)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def superuser(servers: EmbeddedServers) -> AsyncIterator[asyncpg.Pool]:
    """Creates and drops databases; a pool, since a test may kill Postgres."""
    url = servers.postgres.url("postgres", "postgres")
    async with asyncpg.create_pool(url, min_size=0, max_size=1) as pool:
        yield pool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(servers: EmbeddedServers, superuser: asyncpg.Pool) -> str:
    await superuser.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE}")
    await superuser.execute(f"CREATE DATABASE {_TEMPLATE} OWNER aftertone_owner")
    await migrate(
        servers.postgres.url(_TEMPLATE, "aftertone_owner"),
        service_url=servers.postgres.url(_TEMPLATE, "aftertone"),
        oldest_month=201001,
    )
    await _drop_distant_days(servers)
    return _TEMPLATE


async def _drop_distant_days(servers: EmbeddedServers) -> None:
    """Drops most days of the outbox: they are half of the files that each clone copies."""
    owner = await asyncpg.connect(servers.postgres.url(_TEMPLATE, "aftertone_owner"))
    today = datetime.now(UTC).date()
    for days in range(_DAYS, OUTBOX_DAYS_AHEAD + 1):
        await owner.execute(f"DROP TABLE outbox_{today + timedelta(days=days):%Y%m%d}")
    await owner.close()


class DatabasePool:
    """Clones of the template. A test takes one, and returns it unless its schema has changed."""

    def __init__(self, servers: EmbeddedServers, superuser: asyncpg.Pool, template: str) -> None:
        self._servers = servers
        self._superuser = superuser
        self._template = template
        self._free: list[ReusableDatabase] = []

    async def acquire(self) -> ReusableDatabase:
        return self._free.pop() if self._free else await self._clone()

    async def release(self, used: ReusableDatabase) -> None:
        if await used.reset():
            self._free.append(used)
        else:
            used.close()
            # As the superuser: the owner may not end a session of the service's role.
            await self._superuser.execute(f"DROP DATABASE {used.name} WITH (FORCE)")

    def close(self) -> None:
        for database in self._free:
            database.close()

    async def _clone(self) -> ReusableDatabase:
        name = f"test_{uuid4().hex}"
        await self._superuser.execute(
            f"CREATE DATABASE {name} OWNER aftertone_owner TEMPLATE {self._template}"
        )
        return await ReusableDatabase.open(name, self._servers.postgres.url(name, "postgres"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_pool(
    servers: EmbeddedServers, superuser: asyncpg.Pool, migrated_template: str
) -> AsyncIterator[DatabasePool]:
    pool = DatabasePool(servers, superuser, migrated_template)
    yield pool
    pool.close()


@pytest_asyncio.fixture(loop_scope="session")
async def test_database(
    servers: EmbeddedServers, database_pool: DatabasePool
) -> AsyncIterator[TestDatabase]:
    """Database in the state of the template. A test may change everything in it."""
    acquired = await database_pool.acquire()
    yield TestDatabase(
        url=servers.postgres.url(acquired.name, "aftertone"),
        owner_url=servers.postgres.url(acquired.name, "aftertone_owner"),
    )
    await database_pool.release(acquired)


@pytest_asyncio.fixture(loop_scope="session")
async def database_url(test_database: TestDatabase) -> str:
    return test_database.url


@pytest_asyncio.fixture(loop_scope="session")
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    async with Database.open(test_database.url, size=20, timeout_s=30, name="test") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def hot(test_database: TestDatabase) -> AsyncIterator[Database]:
    """A pool of one connection with generic plans."""
    async with Database.open(
        test_database.url, size=1, timeout_s=30, name="test", generic_plans=True
    ) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def inspector(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the owner, which reads what is stored."""
    connection = await asyncpg.connect(test_database.owner_url)
    yield connection
    await connection.close()
