"""Postgres database of a source."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from service.transfer.freeswitch.database import Row
from service.transfer.source import SourceFailed

_CONNECT_S = 10
_STATEMENT_S = 120
_COLUMNS = """
SELECT column_name
FROM information_schema.columns
WHERE table_name = $1
  AND table_schema = any(current_schemas(false))
"""


class PostgresDatabase:
    """Reads from one connection. The server may have any version, so few settings are made."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def connect(cls, url: str) -> "PostgresDatabase":
        """Connects. Every transaction is read only. Raises SourceFailed."""
        settings = {
            "application_name": "aftertone import",
            "default_transaction_read_only": "on",
        }
        with _translated_errors():
            connection = await asyncpg.connect(
                url, timeout=_CONNECT_S, command_timeout=_STATEMENT_S, server_settings=settings
            )
        return cls(connection)

    async def columns_of(self, table: str) -> frozenset[str]:
        return frozenset(row["column_name"] for row in await self.fetch(_COLUMNS, table))

    async def fetch(self, statement: str, *arguments: Any) -> list[Row]:
        async with self._lock:
            with _translated_errors():
                return [dict(row) for row in await self._connection.fetch(statement, *arguments)]

    async def close(self) -> None:
        self._connection.terminate()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise SourceFailed(
            f"The database of the source cannot be read ({reason}); check its address."
        ) from error
