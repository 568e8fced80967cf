"""The one place where every statement passes: it is timed here under its name."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import asyncpg

from service.metrics import SQL_DURATION
from service.postgres.sql import NAMES
from service.traces import begin_span, end_span, is_tracing

if TYPE_CHECKING:
    from service.traces import Span

_TRANSACTIONS = {"BEGIN;": "begin", "COMMIT;": "commit", "ROLLBACK;": "rollback"}
# What the library asks for itself, such as the ids of types.
_OTHER = "other"

_timers: dict[str, Callable[[float], None]] = {}


class Statement:
    """A statement while it runs. Everything that is to be known of one goes in here."""

    __slots__ = ("_began", "_span", "_text")

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> None:
        self._span = begin_statement(self._text) if is_tracing() else None
        self._began = time.perf_counter()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        timer = _timers.get(self._text) or _timer(self._text)
        timer(time.perf_counter() - self._began)
        end_span(self._span, error)


def name_of(text: str) -> str:
    """A statement's name in `sql/`: a fixed one for what has none."""
    return NAMES.get(text) or _TRANSACTIONS.get(text, _OTHER)


def begin_statement(text: str) -> "Span | None":
    """The span of a statement, below what happens now. Its text tells nothing that its name does
    not, and its values are nobody's business."""
    name = name_of(text)
    return begin_span(name, {"db.system.name": "postgresql", "db.operation.name": name})


def _timer(text: str) -> Callable[[float], None]:
    """Kept by text: finding it by label costs more than the rest. Other texts have no bound."""
    name = name_of(text)
    timer = SQL_DURATION.labels(name).observe
    if name != _OTHER:
        _timers[text] = timer
    return timer


class TimedConnection(asyncpg.Connection):
    """Each statement runs inside a `Statement`, those of transactions too."""

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        with Statement(query):
            return await super().execute(query, *args, **more)

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        with Statement(query):
            return await super().fetch(query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        with Statement(query):
            return await super().fetchrow(query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        with Statement(query):
            return await super().fetchval(query, *args, **more)
