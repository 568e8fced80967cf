"""Applies `migrations/` under an advisory lock: forward only, each file once."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec

from service.domain.clock import utc_now
from service.postgres.months import ensure_ahead
from service.postgres.pool import Connection, connect, translated_errors
from service.postgres.sql import load

_SQL = load("migrate")
_FILE_NAME = re.compile(r"(\d{4})_(expand|contract)_\w+\.sql")
_LOCK_POLL_S = 0.2
_PACKAGE = Path(__file__).parents[1]
_PACKAGED = _PACKAGE / "migrations"
# The build copies the folder of the repository into the package.
MIGRATIONS = _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.with_name("migrations")


class MigrationError(Exception):
    """The migrations do not match the database. The text describes the mismatch."""


class Migration(msgspec.Struct, frozen=True):
    """File of `migrations/`."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Returns the files in order.

    Raises MigrationError for a wrong name, a used number, and a folder without migrations.
    """
    migrations: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: expected NNNN_expand_... or NNNN_contract_...")
        number = int(match[1])
        if migrations and number == migrations[-1].number:
            raise MigrationError(f"{path.name}: number {number} is already used")
        migrations.append(Migration(number, path.stem, path.read_text(encoding="utf-8")))
    if not migrations:
        raise MigrationError(f"{folder} contains no migrations; install Aftertone again.")
    return migrations


async def migrate(
    owner_url: str,
    *,
    service_url: str,
    oldest_month: int | None = None,
    migrations: list[Migration] | None = None,
) -> list[str]:
    """Applies missing migrations and creates partitions ahead. Returns the names of both.

    The role of the service gets the right to create partitions from `oldest_month` on. None means
    the month 24 months ago.


    Raises MigrationError when an applied file was changed, or when a statement fails. Files before
    the failed one stay applied.
    """
    if migrations is None:
        migrations = read_migrations()
    async with _locked(owner_url) as connection:
        done = []
        for migration in await _list_missing(connection, migrations):
            await _apply(connection, migration)
            done.append(migration.name)
        await _grant(connection, role_of(service_url))
        await _SQL["set_partition_window"].execute(connection, oldest_month=oldest_month)
        done += await ensure_ahead(connection, utc_now())
        done += await _create_missing_indexes(connection)
    return done


async def newest_migration(connection: Connection) -> int:
    """Returns the number of the last applied migration.

    Returns 0 when none was applied, or when the role may not read the table.
    """
    try:
        number: int = await _SQL["newest_migration"].fetchval(connection)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
        return 0
    return number


def role_of(url: str) -> str:
    """Returns the user of a database URL."""
    return unquote(urlsplit(url).username or "")


@asynccontextmanager
async def _locked(owner_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(owner_url, name="aftertone migrate", timeout_s=600)
    try:
        with translated_errors():
            while not await _SQL["lock_migrations"].fetchval(connection):  # noqa: ASYNC110 - no event
                await asyncio.sleep(_LOCK_POLL_S)
            await _SQL["create_migrations"].execute(connection)
            yield connection
    finally:
        await connection.close()


async def list_applied_migrations(connection: asyncpg.Connection) -> dict[int, bytes]:
    """Returns the SHA-256 of each applied migration by its number."""
    rows = await _SQL["list_applied_migrations"].fetch(connection)
    return {row["number"]: row["sha256"] for row in rows}


async def _list_missing(
    connection: asyncpg.Connection, migrations: list[Migration]
) -> list[Migration]:
    applied = await list_applied_migrations(connection)
    for migration in migrations:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it had been applied")
    return [migration for migration in migrations if migration.number not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '4s'")
            await connection.execute("SET LOCAL statement_timeout = '5s'")
            await connection.execute(migration.sql)
            await _SQL["record_migration"].execute(
                connection, number=migration.number, name=migration.name, sha256=migration.sha256
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name}: {error}") from error


async def _create_missing_indexes(connection: asyncpg.Connection) -> list[str]:
    """Creates indexes of partitions without a lock on them. Returns a name for each partition.

    A run that is killed leaves an invalid index, which the next run creates again.
    """
    done = []
    await connection.execute("SET statement_timeout = 0")
    for row in await _SQL["list_missing_indexes"].fetch(connection):
        for statement in (row["drop_failed"], row["create_index"], row["attach"]):
            await connection.execute(statement)
        done.append(f"index of {row['partition']}")
    return done


async def _grant(connection: asyncpg.Connection, role: str) -> None:
    if role:
        grants = await _SQL["grant_to_service"].fetchval(connection, role=role)
        await connection.execute(grants)
