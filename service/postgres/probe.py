"""Looks at a database once, for `aftertone settings check`: what keeps the service from it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from service.domain.errors import DatabaseUnavailable
from service.postgres.migrate import newest_migration, read_migrations
from service.postgres.pool import connect
from service.postgres.sql import load

_MIGRATE = load("migrate")
_PROBE = load("probe")
_OLDEST_SERVER = 180_000
_MIGRATE_FIRST = "run `aftertone migrate`"
_NO_URL = "this is no postgresql:// URL (user and password are percent-encoded)"


async def probe_as_service(url: str, timeout_s: float) -> list[str]:
    """What is wrong with `url` for the service's role. Raises DatabaseUnavailable."""
    async with _looking(url, timeout_s) as (connection, facts):
        problems = _about_server(facts)
        if facts["superuser"]:
            problems.append(f"the role {facts['role']} is a superuser: give the service its own")
        elif facts["owned"]:
            problems.append(
                f"the role {facts['role']} owns {facts['owned']} tables and must own none: "
                "it is not the one for AFTERTONE_OWNER_DATABASE_URL"
            )
        if not facts["migrated"]:
            problems.append(f"there are no tables yet: {_MIGRATE_FIRST}")
        elif not problems:
            problems += await _missing_for_service(connection)
    return problems


async def probe_as_owner(url: str, timeout_s: float) -> list[str]:
    """The same for the role that owns the tables."""
    async with _looking(url, timeout_s) as (connection, facts):
        problems = _about_server(facts)
        if not facts["migrated"]:
            problems.append(f"there are no tables yet: {_MIGRATE_FIRST}")
        elif not facts["owned"]:
            problems.append(f"the role {facts['role']} does not own the tables")
        else:
            problems += await _missing_for_owner(connection)
    return problems


@asynccontextmanager
async def _looking(
    url: str, timeout_s: float
) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Record]]:
    """A connection and what it is to. The server's own words hold no password; a URL may."""
    try:
        connection = await connect(url, name="aftertone check", timeout_s=timeout_s)
    except ValueError:
        raise DatabaseUnavailable(_NO_URL) from None
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailable(f"Postgres answers: {error}") from None
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(_told(error)) from None
    try:
        facts = await connection.fetchrow(_PROBE["what_this_is"])
        assert facts is not None
        yield connection, facts
    finally:
        await connection.close()


def _told(error: DatabaseUnavailable) -> str:
    match error.__cause__:
        case ValueError():
            return _NO_URL
        case asyncpg.PostgresError() as cause:
            return f"Postgres answers: {cause}"
        case OSError() as cause if not isinstance(cause, TimeoutError):
            return f"nothing answers there ({cause.strerror or cause})"
        case _:
            return "nothing answers there in time"


def _about_server(facts: asyncpg.Record) -> list[str]:
    problems = []
    if facts["version"] < _OLDEST_SERVER:
        problems.append(f"this is Postgres {facts['version_name']}, and 18 or newer is needed")
    if facts["read_only"]:
        problems.append("this server takes no writes: name the primary")
    return problems


async def _missing_for_service(connection: asyncpg.Connection) -> list[str]:
    newest = await newest_migration(connection)
    if not newest:
        return [f"this role has no rights on the tables: {_MIGRATE_FIRST}, with both URLs set"]
    missing = [one.name for one in read_migrations() if one.number > newest]
    return [f"not applied yet: {', '.join(missing)}; {_MIGRATE_FIRST}"] if missing else []


async def _missing_for_owner(connection: asyncpg.Connection) -> list[str]:
    applied = {row["number"]: row for row in await connection.fetch(_MIGRATE["applied_migrations"])}
    files = read_migrations()
    missing = [one.name for one in files if one.number not in applied]
    changed = [
        one.name
        for one in files
        if one.number in applied and applied[one.number]["sha256"] != one.sha256
    ]
    problems = []
    if missing:
        problems.append(f"not applied yet: {', '.join(missing)}; {_MIGRATE_FIRST}")
    if changed:
        problems.append(f"applied in another form than in this release: {', '.join(changed)}")
    return problems
