"""Old months: drops the partition and the objects of each month that has no messages left."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import msgspec

from service.audio.keys import month_prefix
from service.audio.store import AudioStore
from service.domain.message import month_after, month_of, retained_since
from service.domain.retention import Retention
from service.logs import get_logger
from service.postgres import old_partitions as rows
from service.postgres.holds import is_month_held
from service.postgres.keeper import list_trash_days
from service.postgres.months import MONTHS_BEFORE
from service.postgres.old_partitions import DropState, MonthCounts, MonthTable, OldPartition
from service.postgres.pool import Database
from service.postgres.retention import get_longest_retention_days
from service.workers.keeper.orphans import Orphans
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

_AUDIO = "audio/"
_MONTH_FOLDER = re.compile(rf"{_AUDIO}([0-9]{{6}})/")
# The hourly and daily steps that remove and purge messages may fail once.
_OVERDUE_AFTER = timedelta(days=2)
# Postgres reads `date.max` as infinity.
_LAST_DAY = date(9999, 12, 1)


class MonthStatus(StrEnum):
    """State of a month. `EMPTY`, `INTERRUPTED` and `DROPPED` months are dropped by the next run."""

    IN_USE = "in use"
    KEPT = "kept"
    EMPTY = "empty"
    INTERRUPTED = "interrupted"
    DROPPED = "dropped"


class MonthUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Month with its status and sizes. A month that is dropped has objects only.

    `is_held` is true for an old month in which a legal hold covers a message.
    """

    month: int
    status: MonthStatus
    is_held: bool = False
    messages: int = 0
    removed: int = 0
    table_bytes: int = 0
    audio_bytes: int = 0


class DropResult(StrEnum):
    """Result of the drop of a month."""

    DROPPED = "dropped"
    WOULD_DROP = "would be dropped"
    IN_USE = "not dropped: it is within the retention or one of the last 4 months"
    KEPT = "not dropped: it has messages that are retained, held or in the trash"
    BUSY = "not dropped: it is in use; run this again"
    UNKNOWN = "not found"


class _Span(msgspec.Struct, frozen=True):
    """Begin of the first month that may not be dropped, and longest times of retention."""

    keep_from: int
    retained_since: datetime
    trash: timedelta


@dataclass(frozen=True)
class Months:
    """Lists and drops months of messages.

    A month is dropped when it is older than the longest retention and has no row. A message that is
    retained, held or in the trash has a row. The partition is dropped before the objects, as for
    one message. The next run continues an interrupted drop.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    retention: Retention
    trash_days: int
    orphan_grace: timedelta

    async def run(self, progress: StepProgress) -> StepCounts:
        """Drops all months that have no messages, and counts those that should have none."""
        span = await self._span()
        results = [await self._drop_table(month) for month in await self._list_old(span)]
        progress.advance(len(results))
        deleted = await self.sweep(progress)
        return {
            "months_dropped": results.count(DropResult.DROPPED),
            "months_kept": len(results) - results.count(DropResult.DROPPED),
            "objects_deleted": deleted,
            "months_overdue": await self._count_overdue(span),
        }

    async def list_usage(self, progress: StepProgress) -> list[MonthUsage]:
        """Returns all months, oldest first, also those that have only objects."""
        span = await self._span()
        async with self.database.connection() as connection:
            tables = await rows.list_month_tables(connection)
        progress.set_total(len(tables))
        usages = []
        for table in tables:
            usages.append(await self._usage_of(table, span))
            progress.advance(1)
        for month in await self._months_without_table(tables):
            sizes = [item.size async for item in self.audio.list(month_prefix(month))]
            # Some stores list folders that are empty.
            if sizes:
                usages.append(
                    MonthUsage(month=month, status=MonthStatus.DROPPED, audio_bytes=sum(sizes))
                )
        return sorted(usages, key=lambda usage: usage.month)

    async def drop(
        self, months: Collection[int], *, dry_run: bool = False
    ) -> dict[int, DropResult]:
        """Drops months, by default all that can be dropped. Does not delete their objects."""
        span = await self._span()
        old = {month.month: month for month in await self._list_old(span)}
        results = {}
        for month in sorted(months or old):
            if month in old:
                results[month] = await self._drop_table(old[month], dry_run=dry_run)
            else:
                is_known = month in await self._list_known()
                results[month] = DropResult.IN_USE if is_known else DropResult.UNKNOWN
        return results

    async def sweep(self, progress: StepProgress) -> int:
        """Deletes the objects of months without a table. Returns their number.

        Objects that are younger than the grace of orphans stay: their upload may be in progress.
        """
        async with self.database.connection() as connection:
            tables = await rows.list_month_tables(connection)
        prefixes = [month_prefix(month) for month in await self._months_without_table(tables)]
        orphans = Orphans(self.database, self.audio, self.clock, self.orphan_grace, prefixes)
        return (await orphans.run(progress))["orphans_deleted"]

    async def _drop_table(self, month: OldPartition, *, dry_run: bool = False) -> DropResult:
        async with self.database.connection() as connection:
            if await rows.has_messages(connection, month.month):
                return DropResult.KEPT
            if dry_run:
                return DropResult.WOULD_DROP
            if not await rows.drop_detached_month(connection, month):
                log.warning("month not dropped: in use", month=month.month)
                return DropResult.BUSY
        log.info("month dropped", month=month.month)
        return DropResult.DROPPED

    async def _span(self) -> _Span:
        now = self.clock()
        async with self.database.connection() as connection:
            trash_days = await list_trash_days(connection)
            longest_days = await get_longest_retention_days(connection, self.retention)
        retained = retained_since(now, longest_days)
        return _Span(
            keep_from=min(month_of(retained), month_after(month_of(now), -MONTHS_BEFORE)),
            retained_since=retained,
            trash=timedelta(days=max(self.trash_days, *trash_days.values(), 0)),
        )

    async def _list_old(self, span: _Span) -> list[OldPartition]:
        """Returns the months that may be dropped, and those whose drop was interrupted.

        An interrupted drop is completed even if the retention was extended since.
        """
        async with self.database.connection() as connection:
            months = await rows.list_message_months(connection, _LAST_DAY)
        return [
            month
            for month in months
            if month.month < span.keep_from or month.state is not DropState.ATTACHED
        ]

    async def _list_known(self) -> set[int]:
        async with self.database.connection() as connection:
            return {table.month for table in await rows.list_month_tables(connection)}

    async def _months_without_table(self, tables: Sequence[MonthTable]) -> list[int]:
        known = {table.month for table in tables}
        return sorted(await list_bucket_months(self.audio) - known)

    async def _usage_of(self, table: MonthTable, span: _Span) -> MonthUsage:
        async with self.database.connection() as connection:
            counts = await rows.count_month(connection, table.month)
            status = _status_of(table, counts, span)
            is_held = status is MonthStatus.KEPT and await is_month_held(connection, table.month)
        return MonthUsage(
            month=table.month,
            status=status,
            is_held=is_held,
            messages=counts.messages,
            removed=counts.removed,
            table_bytes=table.bytes,
            audio_bytes=counts.audio_bytes,
        )

    async def _count_overdue(self, span: _Span) -> int:
        """Counts the empty months that could not be dropped, and the months with old messages."""
        overdue, now = 0, self.clock()
        for month in await self._list_old(span):
            async with self.database.connection() as connection:
                is_overdue = not await rows.has_messages(
                    connection, month.month
                ) or await rows.is_month_overdue(
                    connection,
                    month.month,
                    received_before=span.retained_since - _OVERDUE_AFTER,
                    changed_before=now - _OVERDUE_AFTER,
                    removed_before=now - span.trash - _OVERDUE_AFTER,
                )
            overdue += is_overdue
        return overdue


async def list_bucket_months(audio: AudioStore) -> set[int]:
    """Returns the months that have objects."""
    folders = [folder async for folder in audio.list_folders(_AUDIO)]
    matches = [_MONTH_FOLDER.fullmatch(folder) for folder in folders]
    return {int(match[1]) for match in matches if match is not None}


def _status_of(table: MonthTable, counts: MonthCounts, span: _Span) -> MonthStatus:
    if table.state is not DropState.ATTACHED:
        return MonthStatus.INTERRUPTED
    if table.month >= span.keep_from:
        return MonthStatus.IN_USE
    return MonthStatus.KEPT if counts.messages + counts.removed else MonthStatus.EMPTY
