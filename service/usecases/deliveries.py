"""Use cases of deliveries for operators: list, show, retry, drop."""

from dataclasses import dataclass

from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryRow, Selection
from service.postgres.pool import Database


@dataclass(frozen=True)
class Deliveries:
    """Use cases of deliveries of all accounts."""

    database: Database

    async def find(self, selection: Selection, limit: int) -> list[DeliveryRow]:
        """Returns deliveries, newest first; markers only when they are dead."""
        async with self.database.connection() as connection:
            return await rows.list_deliveries(connection, selection, limit)

    async def show(self, selection: Selection) -> list[DeliveryRow]:
        """Returns all rows of an event, or those of one channel or target."""
        async with self.database.connection() as connection:
            return await rows.show_deliveries(connection, selection)

    async def retry(self, selection: Selection) -> int:
        """Makes dead deliveries due again with all attempts; returns their number."""
        async with self.database.connection() as connection:
            return await rows.retry_deliveries(connection, selection)

    async def drop(self, selection: Selection) -> int:
        """Ends pending and dead deliveries without another attempt; returns their number."""
        async with self.database.connection() as connection:
            return await rows.drop_deliveries(connection, selection)
