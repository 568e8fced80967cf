"""Retention: the days after which messages expire, by rule."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.message import retained_since
from service.domain.schema import Field

MAX_DAYS = 36_500
MESSAGE_DAYS = "message_retention_days"
DELETED_DAYS = "deleted_retention_days"
KEYS = (DELETED_DAYS, MESSAGE_DAYS)
"""Keys of the rules in the documents of accounts and boxes."""

DAYS_FIELD = Field(types=("integer",), minimum=1, maximum=MAX_DAYS)


class RetentionRule(msgspec.Struct, frozen=True, kw_only=True):
    """Days of an account or box; None where the next rule applies.

    `message_days` count from the timestamp of a message, `deleted_days` from the time at which the
    message was put into the folder `deleted`.
    """

    message_days: int | None = None
    deleted_days: int | None = None


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Effective days of a box: those of its most specific rule, at most those of its account."""

    message_days: int
    deleted_days: int

    def retained_since(self, now: datetime) -> datetime:
        """Returns the oldest timestamp of a message that is kept."""
        return retained_since(now, self.message_days)

    def deleted_since(self, now: datetime) -> datetime:
        """Returns the oldest time at which a kept message was put into the folder `deleted`."""
        return retained_since(now, self.deleted_days)

    def with_rule(self, rule: RetentionRule, max_days: int | None = None) -> "Retention":
        """Returns the retention with the days of a more specific rule, at most `max_days`."""
        message_days = rule.message_days or self.message_days
        return Retention(
            message_days=min(message_days, max_days or message_days),
            deleted_days=rule.deleted_days or self.deleted_days,
        )


DEFAULT_RETENTION = Retention(message_days=93, deleted_days=30)


class AccountRetention(msgspec.Struct, frozen=True, kw_only=True):
    """Retention of an account, and of its boxes that have a rule of their own."""

    default: Retention
    vmboxes: Mapping[UUID, Retention] = {}

    def of(self, vmbox_id: UUID) -> Retention:
        """Returns the retention of a box."""
        return self.vmboxes.get(vmbox_id, self.default)

    @property
    def longest(self) -> Retention:
        """The retention that keeps messages longest."""
        return max([self.default, *self.vmboxes.values()], key=lambda each: each.message_days)


class RetentionRules(msgspec.Struct, frozen=True, kw_only=True):
    """Retention of the deployment, and of the accounts and boxes that have another one.

    Messages of `moving` accounts, which move between deployments, must not be removed.
    """

    default: Retention
    accounts: Mapping[UUID, Retention]
    vmboxes: Mapping[tuple[UUID, UUID], Retention]
    moving: Collection[UUID] = frozenset()

    def of(self, account_id: UUID, vmbox_id: UUID) -> Retention:
        """Returns the retention of a box."""
        own = self.vmboxes.get((account_id, vmbox_id))
        return own or self.accounts.get(account_id, self.default)

    @property
    def longest_days(self) -> int:
        """The days after which every message has expired."""
        everywhere = [self.default, *self.accounts.values(), *self.vmboxes.values()]
        return max(each.message_days for each in everywhere)


def rule_of(document: Mapping[str, Any]) -> RetentionRule:
    """Returns the rule in the document of an account or box."""
    return RetentionRule(
        message_days=days_of(document, MESSAGE_DAYS), deleted_days=days_of(document, DELETED_DAYS)
    )


def days_of(document: Mapping[str, Any], key: str) -> int | None:
    """Returns the days under a key, or None. Old documents may have any value there."""
    days = document.get(key)
    return days if type(days) is int and 1 <= days <= MAX_DAYS else None
