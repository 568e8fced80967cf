"""Retention rules: one function per statement of retention.sql, and their effect."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from service.domain.account import AccountFacts
from service.domain.message import Folder
from service.domain.retention import AccountRetention, Retention, RetentionRule, RetentionRules
from service.postgres.accounts import get_account_facts, to_facts
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("retention")

# Earlier than all messages.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


async def read_rules(connection: Connection, default: Retention) -> RetentionRules:
    """Returns the retention of all accounts and boxes. `default` is that of the deployment."""
    accounts: dict[UUID, Retention] = {}
    maxima: dict[UUID, int] = {}
    for row in await _SQL["list_account_rules"].fetch(connection):
        rule = RetentionRule(message_days=row["message_days"], deleted_days=row["deleted_days"])
        accounts[row["account_id"]] = default.with_rule(rule, row["max_days"])
        if row["max_days"] is not None:
            maxima[row["account_id"]] = row["max_days"]
    vmboxes = {
        (row["account_id"], row["vmbox_id"]): accounts.get(row["account_id"], default).with_rule(
            RetentionRule(message_days=row["message_days"], deleted_days=row["deleted_days"]),
            maxima.get(row["account_id"]),
        )
        for row in await _SQL["list_vmbox_rules"].fetch(connection, account_id=None)
    }
    moving = await _SQL["list_accounts_in_move"].fetch(connection)
    return RetentionRules(
        default=default,
        accounts=accounts,
        vmboxes=vmboxes,
        moving=frozenset(row["account_id"] for row in moving),
    )


async def get_longest_retention_days(connection: Connection, default: Retention) -> int:
    """Returns the days after which a message has expired by every rule in force.

    An expired message may still be in the trash.
    """
    return (await read_rules(connection, default)).longest_days


async def list_vmbox_rules(connection: Connection, account_id: UUID) -> dict[UUID, RetentionRule]:
    """Returns the rules of the boxes of an account."""
    rows = await _SQL["list_vmbox_rules"].fetch(connection, account_id=account_id)
    return {
        row["vmbox_id"]: RetentionRule(
            message_days=row["message_days"], deleted_days=row["deleted_days"]
        )
        for row in rows
    }


async def get_vmbox_rule(
    connection: Connection, account_id: UUID, vmbox_id: UUID
) -> RetentionRule | None:
    """Returns the rule of a box, or None."""
    row = await _SQL["get_vmbox_rule"].fetchrow(
        connection, account_id=account_id, vmbox_id=vmbox_id
    )
    return None if row is None else RetentionRule(**row)


async def get_retention(
    connection: Connection, account_id: UUID, vmbox_id: UUID, default: Retention
) -> Retention:
    """Returns the retention of a box, by the current rules of its account."""
    account = await get_account_facts(connection, account_id)
    if account is None:
        return default
    most = account.max_retention_days
    retention = default.with_rule(account.retention, most)
    rule = await get_vmbox_rule(connection, account_id, vmbox_id)
    return retention.with_rule(rule, most) if rule else retention


async def mark_vmbox_retention(connection: Connection, account_id: UUID) -> AccountFacts | None:
    """Records that boxes of an account may have rules. Returns the account if that has changed."""
    row = await _SQL["mark_vmbox_retention"].fetchrow(connection, account_id=account_id)
    return None if row is None else to_facts(row)


async def count_expired(
    connection: Connection, account_id: UUID, now: datetime, retention: AccountRetention
) -> dict[Folder, int]:
    """Returns the messages of an account by folder that a retention would remove now."""
    vmboxes = retention.vmboxes
    rows = await _SQL["count_expired"].fetch(
        connection,
        account_id=account_id,
        before=retention.default.retained_since(now),
        deleted_before=retention.default.deleted_since(now),
        **_bounds(vmboxes, now),
    )
    return _by_folder(rows)


async def count_expired_of_vmbox(
    connection: Connection, account_id: UUID, vmbox_id: UUID, now: datetime, retention: Retention
) -> dict[Folder, int]:
    """Returns the messages of a box by folder that a retention would remove now."""
    rows = await _SQL["count_expired"].fetch(
        connection,
        account_id=account_id,
        before=_NEVER,
        deleted_before=_NEVER,
        **_bounds({vmbox_id: retention}, now),
    )
    return _by_folder(rows)


def _bounds(vmboxes: Mapping[UUID, Retention], now: datetime) -> dict[str, Any]:
    return {
        "vmbox_ids": list(vmboxes),
        "befores": [each.retained_since(now) for each in vmboxes.values()],
        "deleted_befores": [each.deleted_since(now) for each in vmboxes.values()],
    }


def _by_folder(rows: Sequence[asyncpg.Record]) -> dict[Folder, int]:
    return dict.fromkeys(Folder, 0) | {Folder(row["folder"]): row["number"] for row in rows}
