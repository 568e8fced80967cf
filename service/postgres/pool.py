"""Connections to Postgres: opened here, bounded here, and their failures named here."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from service.domain.errors import DatabaseUnavailable
from service.metrics import CONNECTIONS, CONNECTIONS_MAX, SQL_ERRORS, Values, export_readings
from service.postgres.timing import TimedConnection

# What a caller may retry: the server is gone, full, restarting, too slow, or read-only after a
# failover. InternalClientError is what asyncpg may raise for a query in flight when it dies.
_OUTAGES = (
    # Before `aftertone migrate` has run: what is asked can be answered later.
    asyncpg.UndefinedTableError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # A migration has changed a table under a statement that was prepared; the next try is not.
    asyncpg.InvalidCachedStatementError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
)

Connection = asyncpg.Connection | PoolConnectionProxy


class MissingPartition(DatabaseUnavailable):
    """The month, or the day of the outbox, has no partition yet."""


class Database:
    """A bounded pool. Connects on demand, so that a process starts while Postgres is away."""

    def __init__(self, pool: asyncpg.Pool, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        size: int,
        timeout_s: float,
        name: str,
        pool_name: str = "main",
        generic_plans: bool = False,
    ) -> "AsyncIterator[Database]":
        """`timeout_s` bounds the wait for a connection, and each statement in the server.

        `name` is told to the server, `pool_name` tells the pools of a process apart.
        `generic_plans` is for statements that read no partitioned table: they are planned once.
        """
        with translated_errors():
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=size,
                timeout=timeout_s,
                # The server gives up first; this is for a server that does not answer at all.
                command_timeout=timeout_s + 1,
                init=_prepare_connection,
                reset=_keep_as_it_is,
                connection_class=TimedConnection,
                server_settings=session_settings(name, timeout_s, generic_plans=generic_plans),
            )
        try:
            with export_readings(lambda: _use_of(pool, pool_name)):
                yield cls(pool, timeout_s)
        finally:
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection where each statement is a transaction of its own."""
        with translated_errors():
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                try:
                    yield connection
                except TimeoutError:
                    # A server that answers gives up by itself before that. The library would ask
                    # this one to cancel, and wait for its answer as long again.
                    connection.terminate()
                    raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in one transaction: committed at the end, rolled back by an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def ping(self) -> None:
        """Raises DatabaseUnavailable when Postgres does not answer."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns what asyncpg raises for an outage into DatabaseUnavailable. Only SQL belongs inside."""
    try:
        yield
    except _OUTAGES as error:
        SQL_ERRORS.labels(type(error).__name__).inc()
        raise DatabaseUnavailable(type(error).__name__) from error
    except asyncpg.CheckViolationError as error:
        # Postgres has no code of its own for "no partition of relation found for row".
        if error.constraint_name is None:
            raise MissingPartition from error
        raise


def session_settings(
    name: str, statement_timeout_s: float, *, generic_plans: bool = False
) -> dict[str, str]:
    """Settings of every session.

    A generic plan that reads a partitioned table would lock every partition. An insert locks the
    one that it writes to, and planning it each time costs more than running it.
    """
    return {
        "application_name": name,
        "plan_cache_mode": "force_generic_plan" if generic_plans else "force_custom_plan",
        "jit": "off",
        "timezone": "UTC",
        "statement_timeout": f"{int(statement_timeout_s * 1000)}",
        "idle_in_transaction_session_timeout": "30s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


async def connect(url: str, *, name: str, timeout_s: float) -> asyncpg.Connection:
    """One connection outside any pool, for a session that must stay one: a lock, a migration."""
    with translated_errors():
        connection = await asyncpg.connect(
            url,
            timeout=timeout_s,
            server_settings=session_settings(name, timeout_s),
            connection_class=TimedConnection,
        )
        await _prepare_connection(connection)
    return connection


def _use_of(pool: asyncpg.Pool, name: str) -> Values:
    size, idle = pool.get_size(), pool.get_idle_size()
    return {
        CONNECTIONS: {(name, "in_use"): size - idle, (name, "idle"): idle},
        CONNECTIONS_MAX: {(name,): pool.get_max_size()},
    }


async def _prepare_connection(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_encode_json,
        decoder=msgspec.json.decode,
    )


def _encode_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _keep_as_it_is(_connection: Connection) -> None:
    """No session state is ever changed, so handing a connection back costs no round trip."""
