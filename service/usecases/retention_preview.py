"""Preview of a change of the retention: the messages that it would remove."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from service.domain.account import Account, AccountFacts
from service.domain.message import Folder
from service.domain.retention import AccountRetention, Retention, rule_of
from service.domain.vmbox import Vmbox
from service.postgres.pool import Database
from service.postgres.retention import (
    count_expired,
    count_expired_of_vmbox,
    list_vmbox_rules,
)
from service.usecases.retention import RetentionLookup


class RetentionPreview(msgspec.Struct, frozen=True):
    """Effective retention after a change, and the messages by folder that would expire."""

    retention: Retention
    removed: Mapping[Folder, int]


@dataclass(frozen=True)
class RetentionPreviews:
    """Counts what a change of an account or a mailbox would remove. `clock` returns aware UTC."""

    database: Database
    lookup: RetentionLookup
    clock: Callable[[], datetime]

    async def of_account(self, changed: Account) -> RetentionPreview:
        """Returns the effect on all mailboxes of an account."""
        default, most = self.lookup.default_of(changed), changed.max_retention_days
        async with self.database.connection() as connection:
            rules = await list_vmbox_rules(connection, changed.account_id)
            retention = AccountRetention(
                default=default,
                vmboxes={key: default.with_rule(rule, most) for key, rule in rules.items()},
            )
            removed = await count_expired(connection, changed.account_id, self.clock(), retention)
        return RetentionPreview(default, removed)

    async def of_vmbox(self, account: AccountFacts, changed: Vmbox) -> RetentionPreview:
        """Returns the effect on a mailbox."""
        retention = self.lookup.default_of(account).with_rule(
            rule_of(changed.document), account.max_retention_days
        )
        async with self.database.connection() as connection:
            removed = await count_expired_of_vmbox(
                connection, account.account_id, changed.vmbox_id, self.clock(), retention
            )
        return RetentionPreview(retention, removed)
