"""Copy of rows between the databases of two deployments."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.postgres import account_moves as rows
from service.postgres.account_moves import AccountTable, MovedRow
from service.postgres.months import ensure_audit_month, ensure_month
from service.postgres.pool import Connection
from service.transfer.move.sides import Sides

# Copied when the target begins to serve the account: its notifiers would perform them at once.
DELIVERIES = "deliveries"
# Tables that change without a change of the account.
RECORDS = frozenset({"audit", "mail_rates", "webhook_attempts"})
# Claims that the keeper deletes.
CLAIMS = "idempotency"


@dataclass(frozen=True)
class RowCopier:
    """Compares the tables of two deployments, and copies those that differ."""

    sides: Sides

    async def copy_differences(
        self, accounts: Sequence[MovedRow], is_chosen: Callable[[str], bool] = DELIVERIES.__ne__
    ) -> None:
        """Makes the chosen tables of the target equal to those of the source."""
        async with self.sides.both() as (here, there):
            tables = [each for each in await rows.list_account_tables(here) if is_chosen(each.name)]
            self.sides.progress.set_total(len(tables) * len(accounts))
            for account in accounts:
                await _ensure_months(here, there, account.account_id)
                for table in tables:
                    if await _differs(here, there, table, account.account_id):
                        await rows.copy_rows(here, there, table, account.account_id)
                    self.sides.progress.advance(1)

    async def are_different(
        self, accounts: Sequence[MovedRow], ignored: Collection[str] = ()
    ) -> bool:
        """Compares all tables except records, deliveries and those in `ignored`."""
        async with self.sides.both() as (here, there):
            tables = [
                each
                for each in await rows.list_account_tables(here)
                if each.name not in RECORDS | {DELIVERIES, *ignored}
            ]
            for account in accounts:
                for table in tables:
                    if await _differs(here, there, table, account.account_id):
                        return True
        return False


async def copy_deliveries(
    source: Connection, target: Connection, accounts: Sequence[MovedRow]
) -> None:
    """Replaces the deliveries of accounts in `target`."""
    tables = await rows.list_account_tables(source)
    deliveries = next(table for table in tables if table.name == DELIVERIES)
    for account in accounts:
        await rows.copy_rows(source, target, deliveries, account.account_id)


async def _ensure_months(here: Connection, there: Connection, account_id: UUID) -> None:
    for kind, month in await rows.list_months(here, account_id):
        ensure = ensure_month if kind == "messages" else ensure_audit_month
        await ensure(there, month)


async def _differs(
    here: Connection, there: Connection, table: AccountTable, account_id: UUID
) -> bool:
    digest = await rows.read_digest(here, table, account_id)
    return digest != await rows.read_digest(there, table, account_id)
