"""Reads from a standby that return the same rows as reads from the primary.

Every read first asks the primary for its position in the log, and uses the standby only when it
shows all changes up to there. So a client sees its own writes, also those through other processes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from service.domain.errors import DatabaseUnavailable
from service.metrics import STANDBY_LAG, STANDBY_READS
from service.postgres.pool import Connection, Database
from service.postgres.sessions import get_primary_position, get_standby_position

# A read waits this long for a standby that is behind, then uses the primary.
_MAX_WAIT_S = 0.1
_POLL_S = 0.005
# Pause before a standby that was behind, or did not answer, is asked again.
_PAUSE_S = 1.0


class PrimaryPosition:
    """Position of the primary. Concurrent callers share one read that begins after their call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[int] | None = None

    async def read(self) -> int:
        """Returns the position of all changes that are acknowledged now."""
        if self._next is None:
            self._next = asyncio.create_task(self._read(), name="position of the primary")
        return await asyncio.shield(self._next)

    async def _read(self) -> int:
        async with self._lock:
            # Later callers need another read: their changes may be newer than this one.
            self._next = None
            async with self._database.connection() as connection:
                return await get_primary_position(connection)


class StandbyReads:
    """Connections for reads: to the standby if it shows all changes, otherwise to the primary."""

    def __init__(
        self,
        primary: Database,
        standby: Database,
        position: PrimaryPosition,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._standby = standby
        self._position = position
        self._clock = clock
        self._paused_until = 0.0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Connection for statements that only read."""
        async with AsyncExitStack() as stack:
            connection = await self._connect_to_standby(stack)
            STANDBY_READS.labels("primary" if connection is None else "standby").inc()
            if connection is None:
                connection = await stack.enter_async_context(self._primary.connection())
            yield connection

    async def _connect_to_standby(self, stack: AsyncExitStack) -> Connection | None:
        if self._clock() < self._paused_until:
            return None
        position = await self._position.read()
        try:
            async with AsyncExitStack() as attempt:
                connection = await attempt.enter_async_context(self._standby.connection())
                if await self._shows(connection, position):
                    await stack.enter_async_context(attempt.pop_all())
                    return connection
        except DatabaseUnavailable:
            pass
        self._paused_until = self._clock() + _PAUSE_S
        return None

    async def _shows(self, connection: Connection, position: int) -> bool:
        """Waits a short time until the standby shows all changes up to the position."""
        deadline = self._clock() + _MAX_WAIT_S
        while (reached := await get_standby_position(connection)) is not None:
            STANDBY_LAG.set(max(0, position - reached))
            if reached >= position:
                return True
            if self._clock() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        # It was promoted: the next connection goes to another standby.
        await self._standby.replace_connections(connection)
        return False


Reads = Database | StandbyReads
"""Source of connections for reads. Without a standby it is the primary."""
