"""Wakeup of an idle relay."""

import asyncio
import time
from contextlib import suppress

from service.domain.errors import DatabaseUnavailable
from service.postgres import relay_shards
from service.postgres.pool import Database

# Far below the time after which a relay without events is idle.
_INTERVAL_S = 10.0


class RelayWakeup:
    """Notifies the relay after a change, at most once in 10 s.

    A relay without events polls less often, until it receives the notification. It is sent after
    the transaction of the change: notifications inside transactions serialise commits.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def send(self) -> None:
        """Sends a notification in the background. A failure only delays the events by a poll."""
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + _INTERVAL_S
            self._task = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        with suppress(DatabaseUnavailable):
            async with self._database.connection() as connection:
                await relay_shards.wake_relay(connection)
