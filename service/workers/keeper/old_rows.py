"""Deletion of rows by age."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.postgres.pool import Connection, Database
from service.workers.progress import StepCounts, StepProgress

BATCH = 1_000


@dataclass(frozen=True)
class OldRows:
    """Deletes rows older than `kept`. `delete` deletes rows before a time, up to a limit."""

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
                count = await self.delete(connection, before, self.batch)
            deleted += count
            progress.advance(count)
            if count < self.batch:
                return {"rows_deleted": deleted}
