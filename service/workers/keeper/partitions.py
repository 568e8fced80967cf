"""Partitions: those that will be needed are made, outbox days that nobody needs are dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.logs import get_logger
from service.postgres import keeper as rows
from service.postgres.months import ensure_ahead
from service.postgres.pool import Database
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

OUTBOX_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Partitions:
    """Months and outbox days. `clock` gives aware UTC."""

    database: Database
    clock: Callable[[], datetime]

    async def run(self, progress: StepProgress) -> StepCounts:
        """Makes first: without tomorrow's day nothing can be stored."""
        now = self.clock()
        async with self.database.connection() as connection:
            made = await ensure_ahead(connection, now)
        progress.advance(len(made))
        dropped, kept = await self._drop_days(now - OUTBOX_KEPT, progress)
        return {"partitions_made": len(made), "days_dropped": dropped, "old_days_kept": kept}

    async def _drop_days(self, kept_since: datetime, progress: StepProgress) -> tuple[int, int]:
        """Oldest first, until one is kept; how many were dropped, and how many kept.

        A gap behind a day that is kept would be no reset to a client whose cursor lies in that day.
        """
        dropped = 0
        async with self.database.connection() as connection:
            days = await rows.list_outbox_days(connection, kept_since.date())
        for day in days:
            if not await self._dropped(day, kept_since):
                break
            dropped += 1
            progress.advance(1)
        return dropped, len(days) - dropped

    async def _dropped(self, day: rows.OutboxDay, kept_since: datetime) -> bool:
        async with self.database.connection() as connection:
            # Once a drop has begun, the day's rows cannot be read any more: they were judged then.
            if day.state is rows.DayState.ATTACHED and not await rows.is_spent(
                connection, day.day, kept_since
            ):
                log.warning("Events of an old day wait to be sent or kept", day=str(day.day))
                return False
            if not await rows.drop_outbox_day(connection, day):
                log.warning("An old outbox day is in use, its drop goes on later", day=str(day.day))
                return False
        return True
