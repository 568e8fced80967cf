"""What an operator may ask about deliveries: list, show, try again, give up."""

from dataclasses import dataclass

from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryRow, Selection
from service.postgres.pool import Database


@dataclass(frozen=True)
class Deliveries:
    """Over all accounts: for whoever holds the database."""

    database: Database

    async def find(self, selection: Selection, limit: int) -> list[DeliveryRow]:
        """By account, channel and status, newest first; the events' own rows only when dead."""
        async with self.database.connection() as connection:
            return await rows.list_deliveries(connection, selection, limit)

    async def show(self, selection: Selection) -> list[DeliveryRow]:
        """All rows of an event of an account, or those of one channel or target."""
        async with self.database.connection() as connection:
            return await rows.show_deliveries(connection, selection)

    async def retry(self, selection: Selection) -> int:
        """Dead ones are due again, with all their attempts before them; how many."""
        async with self.database.connection() as connection:
            return await rows.retry_deliveries(connection, selection)

    async def drop(self, selection: Selection) -> int:
        """Those that wait or are dead are not tried any more; how many."""
        async with self.database.connection() as connection:
            return await rows.drop_deliveries(connection, selection)
