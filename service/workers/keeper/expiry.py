"""Removal of messages by age: past retention, or without audio for too long."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.retention import DEFAULT_RETENTION, Retention, RetentionRules
from service.postgres import keeper as rows
from service.postgres.expiry import Scope, expire_messages
from service.postgres.keeper import BoxKey
from service.postgres.pool import Connection, Database
from service.postgres.retention import read_rules
from service.workers.keeper.old_rows import repeat_batches
from service.workers.keeper.recount import repair
from service.workers.keeper.rule_scan import EPOCH, RuleScan
from service.workers.progress import StepCounts, StepProgress

# Equals the limit of a batch request. A batch locks a box for 0.1 to 0.2 s.
BATCH = 100
PENDING_KEPT = timedelta(days=7)
# Longer than a request, and than the clocks of two processes differ.
_OVERLAP = timedelta(hours=1)
_FULL_EVERY = timedelta(days=1)

Find = Callable[[Connection, int], Awaitable[list[BoxKey]]]
Remove = Callable[[Connection, BoxKey, int], Awaitable[int]]


class ExpiryMemory:
    """The last complete runs of a keeper.

    While the rules are unchanged, a run reads only messages that have expired since the last run.
    Once a day, and after a change of the rules, it reads all expired messages, because a message
    can be past its retention when it is stored.
    """

    def __init__(self) -> None:
        self._rules: RetentionRules | None = None
        self._ran_at = self._read_all_at = EPOCH

    def window_began(self, now: datetime, rules: RetentionRules) -> datetime | None:
        """Returns the time of the last run, or None if all expired messages must be read."""
        is_usable = rules == self._rules and self._read_all_at <= self._ran_at <= now
        if not is_usable or now - self._read_all_at >= _FULL_EVERY:
            return None
        return self._ran_at - _OVERLAP

    def remember(self, now: datetime, rules: RetentionRules, *, is_complete: bool) -> None:
        """Records a run."""
        self._rules, self._ran_at = rules, now
        if is_complete:
            self._read_all_at = now


@dataclass(frozen=True)
class Expiry:
    """Removes messages past retention, and those of boxes that were deleted `trash_grace` ago.

    The rules of accounts and boxes, and the `trash_days` of accounts, take precedence.
    """

    database: Database
    clock: Callable[[], datetime]
    retention_days: int
    deleted_days: int = DEFAULT_RETENTION.deleted_days
    trash_grace: timedelta = timedelta(days=7)
    batch: int = BATCH
    memory: ExpiryMemory = field(default_factory=ExpiryMemory)

    async def run(self, progress: StepProgress) -> StepCounts:
        """Each batch is one transaction of one box, so counts and events stay consistent."""
        return {
            "messages_expired": await self._expire(progress),
            "messages_of_deleted_boxes_removed": await self._empty_deleted_boxes(progress),
        }

    async def _expire(self, progress: StepProgress) -> int:
        now = self.clock().replace(microsecond=0)
        default = Retention(message_days=self.retention_days, deleted_days=self.deleted_days)
        async with self.database.connection() as connection:
            rules = await read_rules(connection, default)
        window_began = self.memory.window_began(now, rules)

        async def expire(connection: Connection, box: BoxKey, month: int) -> int:
            retention = rules.of(box.account_id, box.vmbox_id)
            return await expire_messages(
                connection,
                box,
                month,
                before=retention.retained_since(now),
                deleted_before=retention.deleted_since(now),
                limit=self.batch,
            )

        async def remove(box: BoxKey, month: int) -> int:
            count = await _remove_from_box(self.database, box, month, expire)
            progress.advance(count)
            return count

        removed, months = 0, await _list_months(self.database)
        for scope in Scope:
            removed += await RuleScan(
                database=self.database,
                rules=rules,
                scope=scope,
                now=now,
                window_began=window_began,
                months=months,
                batch=self.batch,
                remove=remove,
            ).run()
        self.memory.remember(now, rules, is_complete=window_began is None)
        return removed

    async def _empty_deleted_boxes(self, progress: StepProgress) -> int:
        now, removed = self.clock(), 0
        async with self.database.connection() as connection:
            trash_days = await rows.list_trash_days(connection)
        times = {key: now - timedelta(days=days) for key, days in trash_days.items()}
        before = now - self.trash_grace
        while boxes := await self._list_boxes_to_empty(before, times):
            for box in boxes:
                deleted_before = times.get(box.account_id, before)
                removed += await self._empty_box(box, deleted_before, progress)
        return removed

    async def _list_boxes_to_empty(
        self, before: datetime, times: Mapping[UUID, datetime]
    ) -> list[BoxKey]:
        async with self.database.connection() as connection:
            return await rows.list_boxes_to_empty(connection, before, times, self.batch)

    async def _empty_box(self, box: BoxKey, before: datetime, progress: StepProgress) -> int:
        return await repeat_batches(
            self.database,
            lambda connection: rows.empty_box(connection, box, before, self.batch),
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
