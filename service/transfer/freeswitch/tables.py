"""Queries on the tables of FreeSWITCH and FusionPBX, in SQLite or Postgres. Read only."""

from pathlib import Path
from typing import Any

from service.transfer.freeswitch.database import Row, SourceDatabase
from service.transfer.freeswitch.postgres import PostgresDatabase
from service.transfer.freeswitch.sqlite import SqliteDatabase
from service.transfer.source import SourceFailed


class Tables:
    """Queries on tables whose columns differ between releases. Raises SourceFailed."""

    def __init__(self, address: str) -> None:
        """`address` is a `postgresql://` URL or a SQLite file. It is opened when it is used."""
        self._address = address
        self._database: SourceDatabase | None = None
        self._columns: dict[str, frozenset[str]] = {}

    async def close(self) -> None:
        if self._database is not None:
            await self._database.close()

    async def require(self, table: str, product: str) -> None:
        """Raises SourceFailed if the table does not exist."""
        if not await self._columns_of(table):
            raise SourceFailed(f"The database has no table {table}; is it that of {product}?")

    async def has_column(self, table: str, column: str) -> bool:
        return column in await self._columns_of(table)

    async def select(
        self, table: str, columns: tuple[str, ...], rest: str = "", *arguments: Any
    ) -> list[Row]:
        """Returns rows of a table with these columns. The value of an absent column is None.

        `rest` is the statement after the name of the table. An absent table has no rows.
        """
        present = await self._columns_of(table)
        if not present:
            return []
        names = ", ".join(name if name in present else f"NULL AS {name}" for name in columns)
        return await self._fetch(f"SELECT {names} FROM {table} {rest}", *arguments)  # noqa: S608

    async def count(self, table: str) -> int:
        """Returns the number of rows."""
        if not await self._columns_of(table):
            return 0
        rows = await self._fetch(f"SELECT count(*) AS rows FROM {table}")  # noqa: S608
        return int(rows[0]["rows"])

    async def read_text(
        self, table: str, column: str, key: str, value: Any, position: int, length: int
    ) -> str:
        """Returns `length` characters of a text from `position`, which is 0 for the first one."""
        rows = await self._fetch(
            f"SELECT substr({column}, $2, $3) AS part FROM {table} WHERE {key} = $1",  # noqa: S608
            value,
            position + 1,
            length,
        )
        return str(rows[0]["part"] or "") if rows else ""

    async def _columns_of(self, table: str) -> frozenset[str]:
        if table not in self._columns:
            self._columns[table] = await (await self._open()).columns_of(table)
        return self._columns[table]

    async def _fetch(self, statement: str, *arguments: Any) -> list[Row]:
        return await (await self._open()).fetch(statement, *arguments)

    async def _open(self) -> SourceDatabase:
        if self._database is None:
            if self._address.startswith(("postgresql://", "postgres://")):
                self._database = await PostgresDatabase.connect(self._address)
            else:
                self._database = await SqliteDatabase.open(Path(self._address))
        return self._database
