"""Use cases of deliveries: list, show, retry, drop."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.delivery import DeadDelivery, DeadDeliveryCursor
from service.domain.page import Page
from service.postgres import deliveries as rows
from service.postgres.audit import insert_change
from service.postgres.deliveries import DeliveryFilter, DeliveryRow
from service.postgres.pool import Database
from service.usecases.pages import read_page

MAX_RETRIED = 1_000
"""Maximum number of deliveries that an account can retry in one request."""


@dataclass(frozen=True)
class Deliveries:
    """Use cases of deliveries of all accounts."""

    database: Database

    async def find(self, selection: DeliveryFilter, limit: int) -> list[DeliveryRow]:
        """Returns deliveries, newest first; markers only when they are dead."""
        async with self.database.connection() as connection:
            return await rows.list_deliveries(connection, selection, limit)

    async def show(self, selection: DeliveryFilter) -> list[DeliveryRow]:
        """Returns the rows of an event: all, or only those of one channel or target."""
        async with self.database.connection() as connection:
            return await rows.list_deliveries_of_event(connection, selection)

    async def retry(self, selection: DeliveryFilter) -> int:
        """Makes dead deliveries due again and resets their attempts. Returns their number."""
        async with self.database.connection() as connection:
            return await rows.retry_deliveries(connection, selection)

    async def drop(self, selection: DeliveryFilter) -> int:
        """Ends pending and dead deliveries without another attempt; returns their number."""
        async with self.database.connection() as connection:
            return await rows.drop_deliveries(connection, selection)


@dataclass(frozen=True)
class DeadDeliveries:
    """Use cases of the dead deliveries of one account, for its administrators."""

    database: Database

    async def list(
        self, account: AccountFacts, start: DeadDeliveryCursor | None, limit: int
    ) -> Page[DeadDelivery, DeadDeliveryCursor]:
        """Returns a page of dead deliveries, newest first."""

        async def read(start: DeadDeliveryCursor | None, limit: int) -> list[DeadDelivery]:
            async with self.database.connection() as connection:
                return await rows.list_dead_deliveries(connection, account.account_id, start, limit)

        return await read_page(read, lambda row: row.cursor, start, limit)

    async def retry(
        self,
        account: AccountFacts,
        event_id: UUID | None,
        channel: str | None,
        target: str | None,
    ) -> int:
        """Makes up to 1 000 dead deliveries due again, the oldest first. Returns their number.

        Each of the three arguments restricts the selection. The audit records `event_id`.
        """
        selection = DeliveryFilter(
            account_id=account.account_id, event_id=event_id, channel=channel, target=target
        )
        async with self.database.transaction() as connection:
            count = await rows.retry_dead_deliveries(connection, selection, MAX_RETRIED)
            if count > 0:
                await insert_change(
                    connection, account.account_id, Action.DELIVERIES_RETRIED, event_id
                )
        return count
