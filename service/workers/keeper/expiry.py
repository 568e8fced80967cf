"""Removal of messages by age: past retention, or without audio for too long."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.message import month_of, retained_since
from service.postgres import keeper as rows
from service.postgres.keeper import BoxKey
from service.postgres.pool import Connection, Database
from service.workers.keeper.old_rows import repeat_batches
from service.workers.keeper.recount import repair
from service.workers.progress import StepCounts, StepProgress

# Equals the limit of a batch request. A batch locks a box for 0.1 to 0.2 s.
BATCH = 100
PENDING_KEPT = timedelta(days=7)

Find = Callable[[Connection, int], Awaitable[list[BoxKey]]]
Remove = Callable[[Connection, BoxKey, int], Awaitable[int]]


@dataclass(frozen=True)
class Expiry:
    """Removes messages past retention, and those of deleted boxes."""

    database: Database
    clock: Callable[[], datetime]
    retention_days: int
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Each batch is one transaction of one box, so counts and events stay consistent."""
        return {
            "messages_expired": await self._expire(progress),
            "messages_of_deleted_boxes_removed": await self._empty_deleted_boxes(progress),
        }

    async def _expire(self, progress: StepProgress) -> int:
        before = retained_since(self.clock().replace(microsecond=0), self.retention_days)
        # A message is never stored in a month before its timestamp.
        months = [month for month in await _list_months(self.database) if month <= month_of(before)]
        return await _remove_due(
            self.database,
            months,
            lambda connection, month: rows.list_expired(connection, month, before, self.batch),
            lambda connection, box, month: rows.expire_messages(
                connection, box, month, before, self.batch
            ),
            progress,
        )

    async def _empty_deleted_boxes(self, progress: StepProgress) -> int:
        removed = 0
        while boxes := await self._list_boxes_to_empty():
            for box in boxes:
                removed += await self._empty_box(box, progress)
        return removed

    async def _list_boxes_to_empty(self) -> list[BoxKey]:
        async with self.database.connection() as connection:
            return await rows.list_boxes_to_empty(connection, self.batch)

    async def _empty_box(self, box: BoxKey, progress: StepProgress) -> int:
        return await repeat_batches(
            self.database,
            lambda connection: rows.empty_box(connection, box, self.batch),
            self.batch,
            progress,
        )


@dataclass(frozen=True)
class PendingExpiry:
    """Removes messages that have waited too long for their audio."""

    database: Database
    clock: Callable[[], datetime]
    max_age: timedelta = PENDING_KEPT
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Appends no events, because pending messages have caused none."""
        before = self.clock() - self.max_age
        removed = await _remove_due(
            self.database,
            await _list_months(self.database),
            lambda connection, month: rows.list_abandoned(connection, month, before, self.batch),
            lambda connection, box, month: rows.remove_abandoned(connection, box, month, before),
            progress,
        )
        return {"messages_without_audio_removed": removed}


async def _list_months(database: Database) -> list[int]:
    async with database.connection() as connection:
        return await rows.list_months(connection)


async def _remove_due(
    database: Database, months: Iterable[int], find: Find, remove: Remove, progress: StepProgress
) -> int:
    """Removes the messages of the boxes that `find` returns. Repairs counts that are too low."""
    removed = 0
    for month in months:
        while True:
            async with database.connection() as connection:
                boxes = await find(connection, month)
            count = 0
            for box in boxes:
                removed_of_box = await _remove_from_box(database, box, month, remove)
                count += removed_of_box
                progress.advance(removed_of_box)
            removed += count
            # Boxes without a removal: another keeper has removed their messages.
            if count == 0:
                break
    return removed


async def _remove_from_box(database: Database, box: BoxKey, month: int, remove: Remove) -> int:
    try:
        async with database.connection() as connection:
            return await remove(connection, box, month)
    except rows.CountsTooLow:
        await repair(database, box)
        async with database.connection() as connection:
            return await remove(connection, box, month)
