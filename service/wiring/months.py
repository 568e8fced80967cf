"""Builds the commands about months of messages."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

from service.domain.clock import utc_now
from service.postgres.months import ensure_ahead, ensure_month
from service.settings import Settings
from service.wiring.factories import open_audio, open_owner_database, retention_of
from service.workers.keeper.months import Months

# For the count of a large month, and for the transactions that a drop waits for.
_TIMEOUT_S = 600.0


@asynccontextmanager
async def open_months(settings: Settings) -> AsyncIterator[Months]:
    """Opens the months, with a long timeout for each statement."""
    async with (
        open_owner_database(settings, _TIMEOUT_S) as database,
        open_audio(settings) as audio,
    ):
        yield Months(
            database,
            audio,
            utc_now,
            retention_of(settings),
            trash_days=settings.purge_grace_days,
            orphan_grace=timedelta(hours=settings.orphan_grace_hours),
        )


async def ensure_months(settings: Settings, months: Collection[int]) -> list[str]:
    """Creates months, by default those that the keeper maintains. Returns the names of new ones."""
    async with (
        open_owner_database(settings) as database,
        database.connection() as connection,
    ):
        if not months:
            return await ensure_ahead(connection, utc_now())
        return [
            f"messages of {month}"
            for month in sorted(set(months))
            if await ensure_month(connection, month)
        ]
