"""Named statements, read from the `.sql` files of this folder at import.

A statement starts at its line `-- name: change_folder`. `:vmbox_id` is a parameter, and
`{append_event}` is replaced by the fragment of that name in `fragments.sql`. Neither is replaced in
string literals, quoted identifiers and comments. An array slice needs a space after its colon.
`{messages}` is the table of messages, or with `Statement.of_months` the partitions of some months.
"""

import re
from collections.abc import Awaitable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from asyncpg import Record

from service.domain.page import NameCursor

if TYPE_CHECKING:
    from service.postgres.pool import Connection

NAMES: dict[str, str] = {}
"""Names of all loaded statements, by the text that is sent to Postgres."""

_LITERAL = r"'[^']*' | \"[^\"]*\" | --[^\n]* | /\*.*?\*/"
_PARAMETER = re.compile(rf"{_LITERAL} | :: | := | :(?P<name>[a-z]\w*)", re.VERBOSE | re.DOTALL)
_MESSAGES = "{messages}"
_FRAGMENT = re.compile(rf"{_LITERAL} | \{{(?P<name>[a-z]\w*)\}}", re.VERBOSE | re.DOTALL)


class Statement:
    """Text of a statement with `$1`, `$2`, ..., and the names of these parameters in order."""

    __slots__ = ("_months", "_template", "parameters", "text")

    def __init__(self, source: str) -> None:
        numbers: dict[str, int] = {}

        def positional(token: re.Match[str]) -> str:
            name = token["name"]
            return f"${numbers.setdefault(name, len(numbers) + 1)}" if name else token[0]

        self._template = _PARAMETER.sub(positional, source)
        self._months: dict[tuple[int, ...], Statement] = {}
        self.text = self._template.replace(_MESSAGES, "messages")
        self.parameters = tuple(numbers)

    def of_months(self, months: tuple[int, ...]) -> "Statement":
        """Returns the statement on the partitions of `months` (YYYYMM), which must exist."""
        statement = self._months.get(months)
        if statement is None:
            tables = [f"messages_{month:d}" for month in months]
            union = f"(TABLE {' UNION ALL TABLE '.join(tables)})" if len(tables) > 1 else tables[0]
            statement = Statement(self._template.replace(_MESSAGES, union))
            statement.parameters = self.parameters
            NAMES[statement.text] = NAMES[self.text]
            self._months[months] = statement
        return statement

    def bind(self, **values: Any) -> tuple[Any, ...]:
        """Returns the arguments of an asyncpg call: the text, then the values in order.

        Raises TypeError when a parameter has no value, or a value no parameter.
        """
        try:
            arguments = (self.text, *[values[name] for name in self.parameters])
        except KeyError as missing:
            raise TypeError(f"missing parameter: {missing}") from None
        if len(values) != len(self.parameters):
            raise TypeError(f"unknown parameters: {values.keys() - set(self.parameters)}")
        return arguments

    def fetch(self, connection: "Connection", **values: Any) -> Awaitable[list[Record]]:
        """Runs the statement and returns all rows."""
        return connection.fetch(*self.bind(**values))

    def fetchrow(self, connection: "Connection", **values: Any) -> Awaitable[Record | None]:
        """Runs the statement and returns the first row."""
        return connection.fetchrow(*self.bind(**values))

    def fetchval(self, connection: "Connection", **values: Any) -> Awaitable[Any]:
        """Runs the statement and returns the first column of the first row."""
        return connection.fetchval(*self.bind(**values))

    async def execute(
        self, connection: "Connection", *, timeout_s: float | None = None, **values: Any
    ) -> int:
        """Runs the statement and returns the number of affected rows."""
        status = await connection.execute(*self.bind(**values), timeout=timeout_s)
        _, _, number = status.rpartition(" ")
        return int(number) if number.isdigit() else 0


def load(noun: str) -> dict[str, Statement]:
    """Returns the statements of `<noun>.sql` by name."""
    statements = {
        name: Statement(_FRAGMENT.sub(_expanded, source))
        for name, source in _blocks(noun, "name").items()
    }
    NAMES.update((statement.text, name) for name, statement in statements.items())
    return statements


def _blocks(noun: str, kind: str) -> dict[str, str]:
    text = (files(__package__) / f"{noun}.sql").read_text(encoding="utf-8")
    _, *blocks = text.split(f"-- {kind}: ")
    named = (block.partition("\n") for block in blocks)
    return {name.strip(): block.strip() for name, _, block in named}


def _expanded(token: re.Match[str]) -> str:
    if token["name"] is None or token[0] == _MESSAGES:
        return token[0]
    return _FRAGMENT.sub(_expanded, _FRAGMENTS[token["name"]])


_FRAGMENTS = _blocks("fragments", "fragment")


def page_start(start: NameCursor | None, descending: bool) -> dict[str, Any]:
    """Returns the parameters of the first row of a page; without `start`, of the first page."""
    if start is None and descending:
        return {"start_name": None, "start_id": None}
    first = start or NameCursor("")
    return {"start_name": first.name, "start_id": first.id}
