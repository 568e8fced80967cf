"""What is removed because of its age: messages past retention, and those without audio for long."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.message import month_of, retained_since
from service.postgres import keeper as rows
from service.postgres.keeper import BoxKey
from service.postgres.pool import Connection, Database
from service.workers.keeper.recount import repair
from service.workers.progress import StepCounts, StepProgress

# As many as a caller may do at once: a box is locked for a tenth of a second or two, no longer.
BATCH = 100
AUDIO_AWAITED = timedelta(days=7)

Find = Callable[[Connection, int], Awaitable[list[BoxKey]]]
Remove = Callable[[Connection, BoxKey, int], Awaitable[int]]


@dataclass(frozen=True)
class Expiry:
    """Messages past retention, and those of deleted boxes. `clock` gives aware UTC."""

    database: Database
    clock: Callable[[], datetime]
    retention_days: int
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Each batch is a transaction of one box: counts and events are right after any of them."""
        return {
            "messages_expired": await self._expire(progress),
            "messages_of_deleted_boxes_removed": await self._empty_deleted_boxes(progress),
        }

    async def _expire(self, progress: StepProgress) -> int:
        before = retained_since(self.clock().replace(microsecond=0), self.retention_days)
        # A message never lies in a month before the one in which it was received.
        months = [month for month in await _months(self.database) if month <= month_of(before)]
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
        while boxes := await self._boxes_to_empty():
            for box in boxes:
                removed += await self._empty(box, progress)
        return removed

    async def _boxes_to_empty(self) -> list[BoxKey]:
        async with self.database.connection() as connection:
            return await rows.list_boxes_to_empty(connection, self.batch)

    async def _empty(self, box: BoxKey, progress: StepProgress) -> int:
        removed = 0
        while True:
            async with self.database.connection() as connection:
                number = await rows.empty_box(connection, box, self.batch)
            removed += number
            progress.advance(number)
            if number < self.batch:
                return removed


@dataclass(frozen=True)
class Pending:
    """Messages that have waited for their audio too long. `clock` gives aware UTC."""

    database: Database
    clock: Callable[[], datetime]
    awaited: timedelta = AUDIO_AWAITED
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Nobody was told of them, so nobody is told that they are gone."""
        before = self.clock() - self.awaited
        removed = await _remove_due(
            self.database,
            await _months(self.database),
            lambda connection, month: rows.list_abandoned(connection, month, before, self.batch),
            lambda connection, box, month: rows.drop_abandoned(connection, box, month, before),
            progress,
        )
        return {"messages_without_audio_removed": removed}


async def _months(database: Database) -> list[int]:
    async with database.connection() as connection:
        return await rows.list_months(connection)


async def _remove_due(
    database: Database, months: Iterable[int], find: Find, remove: Remove, progress: StepProgress
) -> int:
    """Removes what `find` finds, box by box; a box whose counts are too low is recounted first."""
    removed = 0
    for month in months:
        while True:
            async with database.connection() as connection:
                boxes = await find(connection, month)
            number = 0
            for box in boxes:
                of_box = await _removed(database, box, month, remove)
                number += of_box
                progress.advance(of_box)
            removed += number
            # With boxes found but nothing removed, another keeper has just done it.
            if number == 0:
                break
    return removed


async def _removed(database: Database, box: BoxKey, month: int, remove: Remove) -> int:
    try:
        async with database.connection() as connection:
            return await remove(connection, box, month)
    except rows.CountsWrong:
        await repair(database, box)
        async with database.connection() as connection:
            return await remove(connection, box, month)
