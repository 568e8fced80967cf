"""Rows that nobody asks for any more: one kind of them, deleted by age."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.postgres.pool import Connection, Database
from service.workers.progress import StepCounts, StepProgress

BATCH = 1_000


@dataclass(frozen=True)
class OldRows:
    """What `delete` deletes: up to so many rows older than a moment. `clock` gives aware UTC."""

    database: Database
    clock: Callable[[], datetime]
    delete: Callable[[Connection, datetime, int], Awaitable[int]]
    kept: timedelta
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        before = self.clock() - self.kept
        deleted = 0
        while True:
            async with self.database.connection() as connection:
                number = await self.delete(connection, before, self.batch)
            deleted += number
            progress.advance(number)
            if number < self.batch:
                return {"rows_deleted": deleted}
