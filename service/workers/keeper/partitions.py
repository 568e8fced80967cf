"""Partitions: creates months and outbox days ahead, drops old outbox days and audit months."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.logs import get_logger
from service.postgres import old_partitions as rows
from service.postgres.months import ensure_ahead
from service.postgres.pool import Database
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

OUTBOX_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Partitions:
    """Creates and drops partitions."""

    database: Database
    clock: Callable[[], datetime]

    async def run(self, progress: StepProgress) -> StepCounts:
        """Creates before it drops: without a partition for the day, no message can be stored."""
        now = self.clock()
        async with self.database.connection() as connection:
            created = await ensure_ahead(connection, now)
        progress.advance(len(created))
        dropped, kept = await self._drop_days(now - OUTBOX_KEPT, progress)
        return {"partitions_created": len(created), "days_dropped": dropped, "old_days_kept": kept}

    async def _drop_days(self, kept_since: datetime, progress: StepProgress) -> tuple[int, int]:
        """Drops days, oldest first, up to one that must be kept. Returns the dropped and kept days.

        If later days were dropped too, a client with a cursor in the kept day would miss events
        without a reset.
        """
        dropped = 0
        async with self.database.connection() as connection:
            days = await rows.list_outbox_days(connection, kept_since.date())
        for day in days:
            if not await self._drop_day(day, kept_since):
                break
            dropped += 1
            progress.advance(1)
        return dropped, len(days) - dropped

    async def _drop_day(self, day: rows.OldPartition, kept_since: datetime) -> bool:
        async with self.database.connection() as connection:
            # After a drop has begun, the rows cannot be read. They were checked before it.
            if day.state is rows.DropState.ATTACHED and not await rows.is_day_published(
                connection, day.begins_on, kept_since
            ):
                log.warning(
                    "outbox partition not dropped: events unpublished or recent",
                    day=str(day.begins_on),
                )
                return False
            if not await rows.drop_partition(connection, day):
                log.warning("outbox partition not dropped: in use", day=str(day.begins_on))
                return False
        return True


@dataclass(frozen=True)
class AuditPurge:
    """Drops the months of the audit that ended more than `max_age` ago."""

    database: Database
    clock: Callable[[], datetime]
    max_age: timedelta

    async def run(self, progress: StepProgress) -> StepCounts:
        dropped = 0
        async with self.database.connection() as connection:
            months = await rows.list_audit_months(connection, (self.clock() - self.max_age).date())
            for month in months:
                if await rows.drop_partition(connection, month):
                    dropped += 1
                    progress.advance(1)
                else:
                    log.warning("audit partition not dropped: in use", month=str(month.begins_on))
        return {"months_dropped": dropped, "old_months_kept": len(months) - dropped}
