"""Connections to Postgres: pools, timeouts, and translation of errors."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from enum import StrEnum
from types import TracebackType
from typing import Any

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy
from cachetools import TTLCache

from service.domain.errors import DatabaseUnavailable, Unavailable
from service.domain.move import AccountReadOnly
from service.metrics import CONNECTIONS, CONNECTIONS_MAX, SQL_ERRORS, Values, export_readings
from service.postgres.hosts import ServerHosts
from service.postgres.leases import Leases
from service.postgres.sessions import get_backend_pid
from service.postgres.timing import Months, TimedConnection
from service.postgres.unprepared import UnpreparedConnection

# Errors after which a caller may retry: the server is down, full, restarting, too slow, or
# read-only after a failover. asyncpg may raise InternalClientError for a query that runs when the
# server dies.
_OUTAGES = (
    # Before `aftertone migrate` has run.
    asyncpg.UndefinedTableError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # A migration changed a table of a prepared statement. The next attempt prepares it again.
    asyncpg.InvalidCachedStatementError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    # SQLSTATE XX000 and similar: a fault of the server, not of the statement.
    asyncpg.InternalServerError,
)

# Bound of the prepared statements of a connection with generic plans. Each uses about 230 kB of the
# server.
_HOT_STATEMENTS_CACHED = 50

# Bounds of the cache of months. A detached partition is still named for this time.
_MONTHS_CACHED = 256
_MONTHS_CACHED_S = 60

Connection = asyncpg.Connection | PoolConnectionProxy
# Constraint that the trigger of events names.
_NOT_SERVED = "account_is_served_here"


class MissingPartition(DatabaseUnavailable):
    """The partition of the month or of the outbox day does not exist yet; retry in a moment."""


# Errors of a pooler that does not keep the prepared statements of a connection.
_STATEMENT_LOST = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_SET_UNPREPARED = (
    "the pooler keeps no prepared statements: set AFTERTONE_DATABASE_POOLER=unprepared"
)

# Errors after which the other connections of the pool are not used either: the server does not
# answer, stops, or has become a standby.
_SERVER_LOST = (
    TimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class Pooler(StrEnum):
    """Connection pooler in transaction mode between the process and Postgres.

    A pooler sets no session settings. `UNPREPARED` avoids prepared statements.
    """

    NONE = "none"
    PREPARED = "prepared"
    UNPREPARED = "unprepared"


class PoolerDetected(DatabaseUnavailable):
    """A connection pooler answered on a URL that needs Postgres itself."""


class Database:
    """Bounded pool that connects on demand, so that a process starts while Postgres is down."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

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
        pooler: Pooler = Pooler.NONE,
    ) -> "AsyncIterator[Database]":
        """Opens a pool. `timeout_s` limits the wait for a connection, and each statement.

        `url` can name several servers: see `ServerHosts`. `name` is the application name of the
        sessions, `pool_name` the label of the metrics. `generic_plans` suits statements that name
        partitions (`fetch_of_months`), and inserts; a pooler cannot set them.
        """
        generic_plans = generic_plans and pooler is Pooler.NONE
        usable_months: TTLCache[Months, bool] = TTLCache(_MONTHS_CACHED, _MONTHS_CACHED_S)

        async def prepare(connection: Connection) -> None:
            await _prepare_connection(connection)
            if generic_plans and isinstance(connection, TimedConnection):
                connection.usable_months = usable_months

        with translated_errors():
            pool = await asyncpg.create_pool(
                url,
                connect=ServerHosts(url).connect,
                min_size=0,
                max_size=size,
                timeout=timeout_s,
                # The server times out first. This limit covers a server that does not answer.
                command_timeout=timeout_s + 1,
                init=prepare,
                reset=_skip_reset,
                statement_cache_size=_statements_cached(pooler, generic_plans=generic_plans),
                connection_class=(
                    UnpreparedConnection if pooler is Pooler.UNPREPARED else TimedConnection
                ),
                server_settings=(
                    session_settings(name, timeout_s, generic_plans=generic_plans)
                    if pooler is Pooler.NONE
                    else _pooled_settings(name)
                ),
            )
        leases = Leases(pool, timeout_s)
        try:
            with export_readings(lambda: _pool_usage(pool, leases, pool_name)):
                yield cls(leases)
        finally:
            leases.close()
            pool.terminate()

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Connection in which each statement is its own transaction."""
        return _ConnectionInUse(self._leases)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Connection in one transaction: committed at the end, rolled back by an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def replace_connections(self, unsuitable: Connection) -> None:
        """Closes all connections, because the server of one of them is not suitable any more."""
        assert isinstance(unsuitable, PoolConnectionProxy)
        await self._leases.expire(unsuitable)

    async def ping(self) -> None:
        """Raises DatabaseUnavailable when Postgres does not answer."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


class _ConnectionInUse:
    """Context manager of one use of a connection. Errors of an outage are translated."""

    __slots__ = ("_connection", "_leases")

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def __aenter__(self) -> Connection:
        connection = self._leases.take()
        if connection is None:
            with translated_errors():
                connection = await self._leases.acquire()
        self._connection = connection
        return connection

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        connection = self._connection
        if error is None and self._leases.keep(connection):
            return
        if isinstance(error, TimeoutError):
            # The server does not answer: its own timeout would have come first. The library would
            # send it a cancel request and wait for the same time again. A cancelled commit would
            # no longer wait for its synchronous standby.
            connection.terminate()
        if isinstance(error, _SERVER_LOST):
            await self._leases.expire(connection)
        with translated_errors():
            await self._leases.return_to_pool(connection)
        if error is not None and (translated := _translated(error)):
            raise translated from error


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translates asyncpg errors of an outage into DatabaseUnavailable. Wrap only SQL in it."""
    try:
        yield
    except Exception as error:
        # `_translated` selects the errors of an outage.
        if translated := _translated(error):
            raise translated from error
        raise


def _translated(error: BaseException) -> Unavailable | None:
    if isinstance(error, _STATEMENT_LOST):
        SQL_ERRORS.labels(type(error).__name__).inc()
        return DatabaseUnavailable(_SET_UNPREPARED)
    if isinstance(error, _OUTAGES):
        SQL_ERRORS.labels(type(error).__name__).inc()
        return DatabaseUnavailable(type(error).__name__)
    # Postgres has no separate code for "no partition of relation found for row".
    if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
        return MissingPartition()
    if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name == _NOT_SERVED:
        return AccountReadOnly()
    return None


def session_settings(
    name: str, statement_timeout_s: float, *, generic_plans: bool = False
) -> dict[str, str]:
    """Returns the settings of a session.

    Planning costs more than the execution of a statement on a few rows. But a generic plan that
    reads a partitioned table locks all partitions; one that inserts locks only one. A generic plan
    uses no sequential scan, because it is kept while its tables grow.
    """
    plans = (
        {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
        if generic_plans
        else {"plan_cache_mode": "force_custom_plan"}
    )
    return {
        **plans,
        "application_name": name,
        "jit": "off",
        "timezone": "UTC",
        "statement_timeout": f"{int(statement_timeout_s * 1000)}",
        "idle_in_transaction_session_timeout": "30s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


def _pooled_settings(name: str) -> dict[str, str]:
    """Returns the settings that PgBouncer accepts. The role in Postgres has the others."""
    return {"application_name": name, "timezone": "UTC"}


def _statements_cached(pooler: Pooler, *, generic_plans: bool) -> int:
    if pooler is Pooler.UNPREPARED:
        return 0
    return _HOT_STATEMENTS_CACHED if generic_plans else 100


async def connect(
    url: str, *, name: str, timeout_s: float, pooler: Pooler = Pooler.NONE
) -> asyncpg.Connection:
    """Opens a connection outside a pool, for a session lock or a migration.

    Raises PoolerDetected if a connection pooler answers without `pooler`: it shares sessions, so
    two clients could hold the same lock.
    """
    direct = pooler is Pooler.NONE
    with translated_errors():
        try:
            connection = await ServerHosts(url).connect(
                timeout=timeout_s,
                server_settings=(
                    session_settings(name, timeout_s) if direct else _pooled_settings(name)
                ),
                statement_cache_size=_statements_cached(pooler, generic_plans=False),
                connection_class=TimedConnection if direct else UnpreparedConnection,
            )
        except asyncpg.ProtocolViolationError as error:
            # PgBouncer refuses session settings, Postgres does not.
            raise PoolerDetected(str(error)) from error
        try:
            await _prepare_connection(connection)
            if direct:
                await _check_direct(connection)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def _check_direct(connection: asyncpg.Connection) -> None:
    """Raises PoolerDetected if the session is not that of the server process that answers."""
    if connection.get_server_pid() != await get_backend_pid(connection):
        raise PoolerDetected("a connection pooler answers")


async def is_pooler(url: str, timeout_s: float) -> bool:
    """Returns whether a connection pooler answers; False if nothing answers."""
    try:
        connection = await connect(url, name="aftertone check", timeout_s=timeout_s)
    except PoolerDetected:
        return True
    except DatabaseUnavailable:
        return False
    connection.terminate()
    return False


def _pool_usage(pool: asyncpg.Pool, leases: Leases, name: str) -> Values:
    size, idle = pool.get_size(), pool.get_idle_size() + leases.idle
    return {
        CONNECTIONS: {(name, "in_use"): size - idle, (name, "idle"): idle},
        CONNECTIONS_MAX: {(name,): pool.get_max_size()},
    }


async def _prepare_connection(connection: Connection) -> None:
    # In a transaction, so that a pooler keeps both messages of a statement on one server.
    transaction = connection.transaction() if _is_unprepared(connection) else nullcontext()
    async with transaction:
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=_encode_json,
            decoder=msgspec.json.decode,
        )


def _is_unprepared(connection: Connection) -> bool:
    return isinstance(connection, UnpreparedConnection)


def _encode_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _skip_reset(_connection: Connection) -> None:
    """Saves a round trip per release: the service never changes session state."""
