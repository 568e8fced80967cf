"""Scan for messages past retention, by the rules of accounts and boxes."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from service.domain.message import month_of, retained_since
from service.domain.retention import Retention, RetentionRules
from service.postgres import expiry as rows
from service.postgres.expiry import Bounds, ExpiredBox, Scope
from service.postgres.keeper import BoxKey
from service.postgres.pool import Database

Item = TypeVar("Item")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACCOUNTS = 100
_BOXES = 500

Remove = Callable[[BoxKey, int], Awaitable[int]]


class RuleScan(msgspec.Struct, frozen=True, kw_only=True):
    """Scan of one scope over all months.

    Boxes with the rule of the deployment share one scan by age, which excludes the others. Each
    account with another rule has a scan of its own, and so does each box. `window_began` is the
    time of an earlier complete run with the same rules: the messages that expired before it are not
    read again. With None, all are read. The scans of boxes always read one index entry per month.
    Accounts in a move are left out.
    """

    database: Database
    rules: RetentionRules
    scope: Scope
    now: datetime
    window_began: datetime | None
    months: Sequence[int]
    batch: int
    remove: Remove

    async def run(self) -> int:
        """Removes expired messages. Returns their number."""
        default, moving = self._days(self.rules.default), self.rules.moving
        accounts = {
            key: days
            for key, retention in self.rules.accounts.items()
            if key not in moving and (days := self._days(retention)) != default
        }
        boxes = {
            BoxKey(*key): days
            for key, retention in self.rules.vmboxes.items()
            if key[0] not in moving
            and (days := self._days(retention)) != accounts.get(key[0], default)
        }
        vmbox_ids = [box.vmbox_id for box in boxes]
        removed = 0
        for month in self.months:
            removed += await self._scan_all(month, default, [*accounts, *moving], vmbox_ids)
            for some_accounts in _chunks(accounts, _ACCOUNTS):
                removed += await self._scan_accounts(month, some_accounts, vmbox_ids)
            for some_boxes in _chunks(boxes, _BOXES):
                removed += await self._scan_boxes(month, some_boxes)
        return removed

    async def _scan_all(
        self, month: int, days: int, account_ids: Sequence[UUID], vmbox_ids: Sequence[UUID]
    ) -> int:
        bounds, removed = self._bounds(days), 0
        while self._may_contain(month, bounds):
            async with self.database.connection() as connection:
                due = await rows.list_expired(
                    connection,
                    month,
                    bounds,
                    self.batch,
                    self.scope,
                    account_ids=account_ids,
                    vmbox_ids=vmbox_ids,
                )
            count = await self._remove_all(due, month)
            removed += count
            # Boxes without a removal: another keeper has removed their messages.
            if not count:
                break
            bounds = _continued(bounds, due)
        return removed

    async def _scan_accounts(
        self, month: int, accounts: Mapping[UUID, int], vmbox_ids: Sequence[UUID]
    ) -> int:
        bounds = {key: self._bounds(days) for key, days in accounts.items()}
        bounds = {key: each for key, each in bounds.items() if self._may_contain(month, each)}
        removed = 0
        while bounds:
            async with self.database.connection() as connection:
                due = await rows.list_expired_of_accounts(
                    connection, month, bounds, self.batch, self.scope, vmbox_ids=vmbox_ids
                )
            count = await self._remove_all(due, month)
            removed += count
            if not count:
                break
            by_account: dict[UUID, list[ExpiredBox]] = {}
            for box in due:
                by_account.setdefault(box.key.account_id, []).append(box)
            bounds = {key: _continued(bounds[key], due) for key, due in by_account.items()}
        return removed

    async def _scan_boxes(self, month: int, boxes: Mapping[BoxKey, int]) -> int:
        befores = {box: self._bounds(days).before for box, days in boxes.items()}
        removed = 0
        while befores:
            async with self.database.connection() as connection:
                due = await rows.filter_expired_boxes(connection, month, befores, self.scope)
            count = sum([await self.remove(box, month) for box in due])
            removed += count
            if not count:
                break
            befores = {box: befores[box] for box in due}
        return removed

    async def _remove_all(self, due: Sequence[ExpiredBox], month: int) -> int:
        return sum([await self.remove(box.key, month) for box in due])

    def _days(self, retention: Retention) -> int:
        return retention.message_days if self.scope is Scope.ALL else retention.deleted_days

    def _bounds(self, days: int) -> Bounds:
        before = retained_since(self.now, days)
        if self.window_began is None:
            return Bounds(EPOCH, before)
        return Bounds(retained_since(self.window_began, days), before)

    def _may_contain(self, month: int, bounds: Bounds) -> bool:
        """Returns False for other months. The month of a message is not before its timestamp."""
        if self.scope is Scope.DELETED:
            return True
        return month_of(bounds.since) <= month <= month_of(bounds.before)


def _continued(bounds: Bounds, due: Sequence[ExpiredBox]) -> Bounds:
    """Returns the bounds after a page, so that rows that the scan excludes are not read again."""
    return Bounds(max(box.last_at for box in due), bounds.before)


def _chunks(items: Mapping[Item, int], size: int) -> Iterator[dict[Item, int]]:
    for start in range(0, len(items), size):
        yield dict(list(items.items())[start : start + size])
