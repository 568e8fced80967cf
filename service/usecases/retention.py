"""Look-up of the retention of accounts and boxes."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.retention import DEFAULT_RETENTION, AccountRetention, Retention
from service.postgres.pool import Database
from service.postgres.retention import get_vmbox_rule, list_vmbox_rules


@dataclass(frozen=True)
class RetentionLookup:
    """Returns the effective retention. `default` is that of the deployment.

    It reads the database only for accounts whose boxes have rules.
    """

    database: Database
    default: Retention = DEFAULT_RETENTION

    async def of_vmbox(self, account: AccountFacts, vmbox_id: UUID) -> Retention:
        """Returns the retention of a box. A box that does not exist has that of its account."""
        retention = self.default_of(account)
        if not account.has_vmbox_retention:
            return retention
        async with self.database.connection() as connection:
            rule = await get_vmbox_rule(connection, account.account_id, vmbox_id)
        return retention.with_rule(rule, account.max_retention_days) if rule else retention

    async def of_account(self, account: AccountFacts) -> AccountRetention:
        """Returns the retention of an account and of its boxes."""
        retention = self.default_of(account)
        if not account.has_vmbox_retention:
            return AccountRetention(default=retention)
        async with self.database.connection() as connection:
            rules = await list_vmbox_rules(connection, account.account_id)
        most = account.max_retention_days
        return AccountRetention(
            default=retention,
            vmboxes={key: retention.with_rule(rule, most) for key, rule in rules.items()},
        )

    def default_of(self, account: AccountFacts) -> Retention:
        """Returns the retention of boxes without a rule."""
        return self.default.with_rule(account.retention, account.max_retention_days)
