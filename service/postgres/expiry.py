"""Expiry of messages: one function per kind of scan, and the removal; statements of expiry.sql."""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.postgres.audit import event_values
from service.postgres.keeper import BoxKey, remove_counted
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("expiry")


class Scope(StrEnum):
    """Which messages a scan reads: all, by timestamp; or the folder `deleted`, by last change."""

    ALL = "all"
    DELETED = "deleted"


class ExpiredBox(msgspec.Struct, frozen=True):
    """Box with expired messages, and the time of the last one that the scan has read."""

    key: BoxKey
    last_at: datetime


class Bounds(msgspec.Struct, frozen=True):
    """Times of expired messages: `since` or later, and earlier than `before`."""

    since: datetime
    before: datetime


async def list_expired(
    connection: Connection,
    month: int,
    bounds: Bounds,
    limit: int,
    scope: Scope = Scope.ALL,
    *,
    account_ids: Collection[UUID] = (),
    vmbox_ids: Collection[UUID] = (),
) -> list[ExpiredBox]:
    """Returns the boxes of the oldest `limit` expired messages of a month.

    Excludes the accounts `account_ids` and the boxes `vmbox_ids`.
    """
    is_deleted = scope is Scope.DELETED
    statement = _SQL["list_expired_deleted" if is_deleted else "list_expired"]
    rows = await statement.fetch(
        connection,
        month=month,
        since=bounds.since,
        before=bounds.before,
        limit=limit,
        account_ids=list(account_ids),
        vmbox_ids=list(vmbox_ids),
    )
    return [_expired_box(row) for row in rows]


async def list_expired_of_accounts(
    connection: Connection,
    month: int,
    accounts: Mapping[UUID, Bounds],
    limit: int,
    scope: Scope = Scope.ALL,
    *,
    vmbox_ids: Collection[UUID] = (),
) -> list[ExpiredBox]:
    """As `list_expired`, for accounts with their own bounds, `limit` messages for each."""
    is_deleted = scope is Scope.DELETED
    name = "list_expired_deleted_of_accounts" if is_deleted else "list_expired_of_accounts"
    rows = await _SQL[name].fetch(
        connection,
        month=month,
        account_ids=list(accounts),
        sinces=[bounds.since for bounds in accounts.values()],
        befores=[bounds.before for bounds in accounts.values()],
        limit=limit,
        vmbox_ids=list(vmbox_ids),
    )
    return [_expired_box(row) for row in rows]


async def filter_expired_boxes(
    connection: Connection,
    month: int,
    boxes: Mapping[BoxKey, datetime],
    scope: Scope = Scope.ALL,
) -> list[BoxKey]:
    """Returns those of `boxes` that have messages of a month from before the time of the box."""
    is_deleted = scope is Scope.DELETED
    statement = _SQL["filter_expired_deleted_boxes" if is_deleted else "filter_expired_boxes"]
    rows = await statement.fetch(
        connection,
        month=month,
        account_ids=[box.account_id for box in boxes],
        vmbox_ids=[box.vmbox_id for box in boxes],
        befores=list(boxes.values()),
    )
    return [BoxKey(row["account_id"], row["vmbox_id"]) for row in rows]


async def expire_messages(
    connection: Connection,
    box: BoxKey,
    month: int,
    *,
    before: datetime,
    deleted_before: datetime,
    limit: int,
) -> int:
    """Removes messages of a box from before `before`. Returns their number. Raises CountsTooLow.

    Also removes messages that have been in the folder `deleted` since before `deleted_before`.
    """
    return await remove_counted(
        connection,
        _SQL["expire_messages"],
        **box.values(),
        month=month,
        before=before,
        deleted_before=deleted_before,
        limit=limit,
        reason="retention",
        **event_values(),
    )


def _expired_box(row: Any) -> ExpiredBox:
    return ExpiredBox(BoxKey(row["account_id"], row["vmbox_id"]), row["last_at"])
