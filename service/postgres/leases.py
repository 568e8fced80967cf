"""Connections of a pool that are kept between uses.

asyncpg's pool starts a task and a timer for each use, which costs as much as a short statement.
"""

import asyncio
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# After this time a connection goes back to the pool, which closes old and idle connections.
_LEASE_S = 60.0


class Leases:
    """Takes connections from a pool and keeps those that are not in use, newest last.

    A connection goes back to the pool at once if a caller waits for one, or after an error.
    """

    def __init__(self, pool: asyncpg.Pool, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._waiting = 0
        self._kept: list[PoolConnectionProxy] = []
        self._taken_at: dict[PoolConnectionProxy, float] = {}
        self._expired_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._returns: set[asyncio.Task[Any]] = set()

    @property
    def idle(self) -> int:
        """Number of connections that are kept and not in use."""
        return len(self._kept)

    def take(self) -> PoolConnectionProxy | None:
        """Returns a connection that is kept, or None."""
        while self._kept:
            connection = self._kept.pop()
            if _is_open(connection):
                return connection
            self._return_in_background(connection)
        return None

    async def acquire(self) -> PoolConnectionProxy:
        """Returns a connection of the pool. Waits until one is free, up to the timeout."""
        self._waiting += 1
        try:
            connection: PoolConnectionProxy = await self._pool.acquire(timeout=self._timeout_s)
        finally:
            self._waiting -= 1
        self._taken_at[connection] = _now()
        return connection

    def keep(self, connection: PoolConnectionProxy) -> bool:
        """Keeps a connection after its use. Returns False if it must be returned."""
        age_s = _now() - self._taken_at[connection]
        if self._waiting or age_s >= _LEASE_S or not _is_open(connection):
            return False
        if self._is_expired(connection):
            return False
        self._kept.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LEASE_S, self._return_old)
        return True

    async def return_to_pool(self, connection: PoolConnectionProxy) -> None:
        """Gives a connection back to the pool, which makes it usable again or closes it."""
        if self._is_expired(connection) and _is_open(connection):
            # Closing it would wait for a server that may not answer.
            connection.terminate()
        self._taken_at.pop(connection, None)
        await self._pool.release(connection)

    async def expire(self, failed: PoolConnectionProxy) -> None:
        """Closes all connections after one failed because its server is lost.

        Connections in use are closed when they are returned. A connection that was taken before
        the last call changes nothing: the pool has already been connected again.
        """
        if self._is_expired(failed):
            return
        self._expired_at = _now()
        await self._pool.expire_connections()
        kept, self._kept = self._kept, []
        for connection in kept:
            self._return_in_background(connection)

    def _is_expired(self, connection: PoolConnectionProxy) -> bool:
        return self._taken_at.get(connection, self._expired_at) < self._expired_at

    def close(self) -> None:
        """Ends the timer. The pool closes the connections."""
        if self._timer is not None:
            self._timer.cancel()

    def _return_old(self) -> None:
        self._timer = None
        oldest = _now() - _LEASE_S
        old = [connection for connection in self._kept if self._taken_at[connection] <= oldest]
        self._kept = [connection for connection in self._kept if connection not in old]
        for connection in old:
            self._return_in_background(connection)
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(_LEASE_S, self._return_old)

    def _return_in_background(self, connection: PoolConnectionProxy) -> None:
        task = asyncio.create_task(self.return_to_pool(connection), name="return of a connection")
        self._returns.add(task)
        task.add_done_callback(self._end_return)

    def _end_return(self, task: "asyncio.Task[Any]") -> None:
        self._returns.discard(task)
        # The pool closes a connection that it cannot use again.
        if not task.cancelled():
            task.exception()


def _is_open(connection: PoolConnectionProxy) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        # The server closed it, and the pool has taken it back.
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
