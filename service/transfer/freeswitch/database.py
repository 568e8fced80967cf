"""Interface of a database of a source."""

from collections.abc import Mapping
from typing import Any, Protocol

Row = Mapping[str, Any]


class SourceDatabase(Protocol):
    """Database of a source, read only. Statements have the parameters `$1`, `$2`.

    All methods raise SourceFailed.
    """

    async def columns_of(self, table: str) -> frozenset[str]:
        """Returns the columns of a table; empty if it does not exist."""

    async def fetch(self, statement: str, *arguments: Any) -> list[Row]:
        """Returns all rows of a statement."""

    async def close(self) -> None:
        """Closes the connection."""
