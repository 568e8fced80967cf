"""Use cases of deliveries for operators: list, show, retry, drop."""

from dataclasses import dataclass

from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryFilter, DeliveryRow
from service.postgres.pool import Database


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
