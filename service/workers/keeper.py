"""The keeper: makes partitions ahead of time, as the owner of the tables."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.postgres.months import ensure_ahead
from service.postgres.pool import Database

log = get_logger(__name__)

_EVERY_S = 3600
_AGAIN_AFTER_OUTAGE_S = 10


@dataclass(frozen=True)
class Keeper:
    """Runs its steps every hour. Each can be killed anywhere and run again."""

    database: Database
    clock: Callable[[], datetime]

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            pause_s = _EVERY_S if await self._kept() else _AGAIN_AFTER_OUTAGE_S
            try:
                await asyncio.wait_for(stop.wait(), pause_s)
            except TimeoutError:
                continue

    async def make_partitions(self) -> list[str]:
        """Months and outbox days ahead; the names of those that were made."""
        async with self.database.connection() as connection:
            return await ensure_ahead(connection, self.clock())

    async def _kept(self) -> bool:
        try:
            made = await self.make_partitions()
        except DatabaseUnavailable as error:
            log.warning("The keeper waits for Postgres", reason=error.reason)
            return False
        log.info("Partitions are ahead", made=len(made))
        return True
