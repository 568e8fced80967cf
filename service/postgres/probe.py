"""Checks of the database for `aftertone settings check`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from service.domain.errors import DatabaseUnavailable
from service.postgres.migrate import (
    Migration,
    list_applied_migrations,
    newest_migration,
    read_migrations,
)
from service.postgres.pool import Pooler, PoolerDetected, connect
from service.postgres.sql import load

_SQL = load("probe")
_MIN_SERVER_VERSION = 180_000
_MIGRATE_FIRST = "run `aftertone migrate`"
_INVALID_URL = "not a postgresql:// URL (percent-encode user and password)"


async def probe_as_service(url: str, timeout_s: float, pooler: Pooler = Pooler.NONE) -> list[str]:
    """Returns the problems of `url` for the service's role. Raises DatabaseUnavailable."""
    async with _probe_connection(url, timeout_s, pooler) as (connection, facts):
        problems = _server_problems(facts)
        if pooler is not Pooler.NONE and facts["statement_timeout"] == "0":
            problems.append(
                f"the role {facts['role']} has no statement_timeout, and a pooler cannot set it: "
                f"run ALTER ROLE {facts['role']} SET statement_timeout = '5s'"
            )
        if facts["superuser"]:
            problems.append(
                f"the role {facts['role']} is a superuser: use a separate role for the service"
            )
        elif facts["owned"]:
            problems.append(
                f"the role {facts['role']} owns {facts['owned']} tables and must own none: "
                "use another role than in AFTERTONE_OWNER_DATABASE_URL"
            )
        if not facts["migrated"]:
            problems.append(f"the tables do not exist: {_MIGRATE_FIRST}")
        elif not problems:
            problems += await _missing_for_service(connection)
    return problems


async def probe_as_owner(url: str, timeout_s: float) -> list[str]:
    """Returns the problems of `url` for the owner's role. Raises DatabaseUnavailable."""
    async with _probe_connection(url, timeout_s) as (connection, facts):
        problems = _server_problems(facts)
        if not facts["migrated"]:
            problems.append(f"the tables do not exist: {_MIGRATE_FIRST}")
        elif not facts["owned"]:
            problems.append(f"the role {facts['role']} does not own the tables")
        else:
            problems += await _missing_for_owner(connection)
    return problems


async def probe_standby(url: str, timeout_s: float) -> list[str]:
    """Returns the problems of `url` for reads from a standby. Raises DatabaseUnavailable."""
    async with _probe_connection(url, timeout_s) as (_, facts):
        if facts["read_only"]:
            return []
    return ["the server is not a standby: add ?target_session_attrs=standby"]


@asynccontextmanager
async def _probe_connection(
    url: str, timeout_s: float, pooler: Pooler = Pooler.NONE
) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Record]]:
    """Opens a connection and reads the facts of its server. Error texts never contain the URL."""
    try:
        connection = await connect(url, name="aftertone check", timeout_s=timeout_s, pooler=pooler)
    except ValueError:
        raise DatabaseUnavailable(_INVALID_URL) from None
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailable(f"Postgres reports: {error}") from None
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(_describe_failure(error)) from None
    try:
        facts = await _SQL["get_server_facts"].fetchrow(connection)
        assert facts is not None
        yield connection, facts
    finally:
        await connection.close()


def _describe_failure(error: DatabaseUnavailable) -> str:
    if isinstance(error, PoolerDetected):
        return "a pooler answers: connect directly, or set AFTERTONE_DATABASE_POOLER for the API"
    match error.__cause__:
        case ValueError():
            return _INVALID_URL
        case asyncpg.PostgresError() as cause:
            return f"Postgres reports: {cause}"
        case OSError() as cause if not isinstance(cause, TimeoutError):
            return f"no server responds ({cause.strerror or cause})"
        case _:
            return "no server responds in time"


def _server_problems(facts: asyncpg.Record) -> list[str]:
    problems = []
    if facts["version"] < _MIN_SERVER_VERSION:
        problems.append(f"the server is Postgres {facts['version_name']}: use 18 or newer")
    if facts["read_only"]:
        problems.append("the server is read-only: use the URL of the primary")
    return problems


async def _missing_for_service(connection: asyncpg.Connection) -> list[str]:
    newest = await newest_migration(connection)
    if not newest:
        return [f"this role has no rights on the tables: set both URLs and {_MIGRATE_FIRST}"]
    return _list_unapplied([file for file in read_migrations() if file.number > newest])


async def _missing_for_owner(connection: asyncpg.Connection) -> list[str]:
    applied = await list_applied_migrations(connection)
    files = read_migrations()
    problems = _list_unapplied([file for file in files if file.number not in applied])
    changed = [file.name for file in files if applied.get(file.number, file.sha256) != file.sha256]
    if changed:
        problems.append(f"applied with other content than in this release: {', '.join(changed)}")
    return problems


def _list_unapplied(files: list[Migration]) -> list[str]:
    names = ", ".join(file.name for file in files)
    return [f"not applied: {names}; {_MIGRATE_FIRST}"] if files else []
