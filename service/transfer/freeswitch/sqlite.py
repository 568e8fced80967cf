"""SQLite database of a source."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from service.transfer.freeswitch.database import Row
from service.transfer.source import SourceFailed
from service.transfer.text import decode

_COLUMNS = "SELECT name FROM pragma_table_info($1)"


class SqliteDatabase:
    """Reads a file in a thread. Text that is not UTF-8 is decoded too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "SqliteDatabase":
        """Opens a file read only. Raises SourceFailed."""
        try:
            connection = await asyncio.to_thread(_connect, path)
        except sqlite3.Error as error:
            raise SourceFailed(f"{path} cannot be opened ({error}); check the path.") from error
        return cls(connection)

    async def columns_of(self, table: str) -> frozenset[str]:
        return frozenset(row["name"] for row in await self.fetch(_COLUMNS, table))

    async def fetch(self, statement: str, *arguments: Any) -> list[Row]:
        parameters = {str(number): value for number, value in enumerate(arguments, start=1)}

        def run() -> list[Row]:
            rows = self._connection.execute(statement, parameters).fetchall()
            return [dict(row) for row in rows]

        async with self._lock:
            try:
                return await asyncio.to_thread(run)
            except sqlite3.Error as error:
                raise SourceFailed(
                    f"The SQLite file cannot be read ({error}); check the file."
                ) from error

    async def close(self) -> None:
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.text_factory = decode
    return connection
