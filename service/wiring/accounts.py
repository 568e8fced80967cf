"""Account use cases for the command line and for `aftertone dev`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.postgres.migrate import newest_migration
from service.settings import Settings
from service.usecases.accounts import Accounts
from service.wiring.factories import open_accounts, open_database


class NotSetUp(Exception):
    """The database is not set up; the text names the command to run first."""


@asynccontextmanager
async def open_cli_accounts(settings: Settings) -> AsyncIterator[Accounts]:
    """Opens the account use cases. Raises NotSetUp if the database has no tables."""
    async with (
        open_database(settings, "aftertone cli", size=1) as database,
        open_accounts(settings, database) as accounts,
    ):
        async with database.connection() as connection:
            if not await newest_migration(connection):
                raise NotSetUp("The database has no tables: run `aftertone migrate` first.")
        yield accounts
