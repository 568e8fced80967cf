"""Account use cases for the command line and for `aftertone dev`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.domain.account import Caller
from service.domain.audit import Actor, Principal, acting_as
from service.domain.errors import AccountNotFound
from service.postgres.migrate import newest_migration
from service.postgres.pool import Database
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
        await check_tables(database)
        yield accounts


async def check_tables(database: Database) -> None:
    """Raises NotSetUp if the database has no tables."""
    async with database.connection() as connection:
        if not await newest_migration(connection):
            raise NotSetUp("The database has no tables: run `aftertone migrate` first.")


@asynccontextmanager
async def acting_as_operator(accounts: Accounts) -> AsyncIterator[Caller]:
    """Sets the operator, with the rights of the root account, as the actor. Raises NotSetUp."""
    try:
        root = await accounts.sessions.get_operator()
    except AccountNotFound:
        raise NotSetUp(
            "There is no root account: run `aftertone account create-root` first."
        ) from None
    actor = Actor(principal=Principal.OPERATOR)
    actor.identify(root)
    with acting_as(actor):
        yield root
