"""Deletion of rows by age."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.postgres.pool import Connection, Database
from service.workers.progress import StepCounts, StepProgress

BATCH = 1_000


@dataclass(frozen=True)
class OldRows:
    """Deletes rows older than `max_age`. `delete` deletes rows before a time, up to a limit."""

    database: Database
    clock: Callable[[], datetime]
    delete: Callable[[Connection, datetime, int], Awaitable[int]]
    max_age: timedelta
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        before = self.clock() - self.max_age
        deleted = await repeat_batches(
            self.database,
            lambda connection: self.delete(connection, before, self.batch),
            self.batch,
            progress,
        )
        return {"rows_deleted": deleted}


async def repeat_batches(
    database: Database,
    delete: Callable[[Connection], Awaitable[int]],
    batch: int,
    progress: StepProgress,
) -> int:
    """Calls `delete` until it deletes fewer rows than `batch`. Returns the total."""
    deleted = 0
    while True:
        async with database.connection() as connection:
            count = await delete(connection)
        deleted += count
        progress.advance(count)
        if count < batch:
            return deleted
