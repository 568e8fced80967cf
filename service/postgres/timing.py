"""Duration metric and span of every statement."""

import time
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import asyncpg

from service.metrics import SQL_DURATION
from service.postgres.sql import NAMES
from service.traces import begin_span, end_span, is_tracing

if TYPE_CHECKING:
    from service.traces import Span

_TRANSACTIONS = {"BEGIN;": "begin", "COMMIT;": "commit", "ROLLBACK;": "rollback"}
# Statements of the library itself, such as the look-up of types.
_OTHER = "other"

# A month (YYYYMM) or several.
Months = int | tuple[int, ...]

_timers: dict[str, Callable[[float], None]] = {}


class _StatementTimer:
    """Measures a running statement: its duration and its span."""

    __slots__ = ("_span", "_started", "_text")

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> None:
        self._span = _begin_span(self._text) if is_tracing() else None
        self._started = time.perf_counter()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        timer = _timers.get(self._text) or _timer(self._text)
        timer(time.perf_counter() - self._started)
        end_span(self._span, error)


def name_of(text: str) -> str:
    """Returns the name of a statement in `sql/`, or a fixed name for other statements."""
    return NAMES.get(text) or _TRANSACTIONS.get(text, _OTHER)


def _begin_span(text: str) -> "Span | None":
    """Starts the span of a statement.

    It has no SQL text, because the name identifies it, and no values, because they are private.
    """
    name = name_of(text)
    return begin_span(name, {"db.system.name": "postgresql", "db.operation.name": name})


def _timer(text: str) -> Callable[[float], None]:
    """Returns the timer of a statement. Timers are cached, because a look-up by label is slow."""
    name = name_of(text)
    timer = SQL_DURATION.labels(name).observe
    if name != _OTHER:
        _timers[text] = timer
    return timer


class TimedConnection(asyncpg.Connection):
    """Connection that measures every statement, those of transactions included.

    `usable_months` is set in a pool with generic plans: see `fetch_of_months`.
    """

    usable_months: MutableMapping[Months, bool] | None = None

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        with _StatementTimer(query):
            return await super().execute(query, *args, **more)

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        with _StatementTimer(query):
            return await super().fetch(query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        with _StatementTimer(query):
            return await super().fetchrow(query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        with _StatementTimer(query):
            return await super().fetchval(query, *args, **more)
