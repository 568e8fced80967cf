"""Connection without prepared statements, for a pooler that cannot track them."""

from collections.abc import Awaitable, Callable
from typing import Any

from service.postgres.timing import TimedConnection


class UnpreparedConnection(TimedConnection):
    """Connection that runs each statement with parameters in a transaction.

    asyncpg sends such a statement in two steps. Between them, a pooler in transaction mode would
    give the server connection to another client.
    """

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        if not args:
            return await super().execute(query, **more)
        status: str = await self._in_transaction(super().execute, query, *args, **more)
        return status

    async def fetch(self, query: str, *args: Any, **more: Any) -> Any:
        return await self._in_transaction(super().fetch, query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        return await self._in_transaction(super().fetchrow, query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        return await self._in_transaction(super().fetchval, query, *args, **more)

    async def _in_transaction(
        self, run: Callable[..., Awaitable[Any]], query: str, *args: Any, **more: Any
    ) -> Any:
        if self.is_in_transaction():
            return await run(query, *args, **more)
        async with self.transaction():
            return await run(query, *args, **more)
